"""The grid file: which originals, forget sets, methods and seeds are to be combined."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import yaml

from mu.cli.requests import UnlearnOptions
from mu.cli.run_ids import with_whole_ids
from mu.errors import UserError, unknown
from mu.methods import unlearning_methods
from mu.readers.documents import read_yaml
from mu.readers.paths import checked_path

KEYS = ("originals", "forget", "methods", "seed", "oracle", "device")
ORACLES = ("train", "none")
ALL = "all"  # in the place of a method's name
MOST = 10_000  # combinations that can be planned, whatever is given
Settings = dict[str, Any]


@dataclass(frozen=True)
class Grid:
    """What is to be combined: every original with every forget set, method and seed.

    Settings are as they were written, lists of values multiplied out. Whether there are such
    settings is checked by :mod:`mu.tasks.sweep.plan`.
    """

    originals: tuple[Settings, ...]  # of ``prune``
    forget: tuple[str, ...]
    methods: tuple[tuple[str, Settings], ...]  # by name
    seeds: tuple[Any, ...]  # of the unlearning
    oracle: Settings | None  # of ``retrain``; None where no oracle is wanted
    device: Settings

    @classmethod
    def of(cls, document: Any) -> Grid:
        """Read what the file holds; keys that are left out have the defaults of ``unlearn``.

        UserError if a key is unknown, or something is not written as it has to be.
        """
        if not isinstance(document, Mapping):
            raise UserError(f"the grid is no mapping; it has the keys {', '.join(KEYS)}")
        for key in document:
            if key not in KEYS:
                raise unknown("key of the grid", str(key), KEYS)
        document = with_whole_ids(document)
        options = UnlearnOptions()
        usual = {"forget": options.forget, "methods": options.method, "seed": options.seed}
        whole = {"originals": {}, "oracle": ORACLES[0], "device": {}, **usual, **document}
        device = whole["device"]
        axes = (
            tuple(itertools.islice(_originals(whole["originals"]), MOST + 1)),
            tuple(map(str, _axis("forget", whole["forget"]))),
            tuple(itertools.islice(_methods(whole["methods"]), MOST + 1)),
            tuple(_axis("seed", whole["seed"])),
        )
        _count("the grid", *map(len, axes))
        return cls(
            *axes,
            _oracle(whole["oracle"]),
            {"device": device} if isinstance(device, str) else _single("device", device),
        )


def read_grid(files: str) -> str:
    """The text of a grid file; of several, separated by commas, that of what they say together.

    What a later file says of the originals or the device is added to what the first ones say, and
    counts where both say something; other keys are replaced. UserError if one cannot be read.
    """
    names = [files] if Path(files).exists() else files.split(",")
    texts = [_read_text(Path(one)) for one in names]
    if len(texts) == 1:
        return texts[0]
    whole: dict[str, Any] = {}
    for name, text in zip(names, texts, strict=True):
        document = load_yaml(text, name)
        if not isinstance(document, Mapping):
            raise UserError(f"grid={name!r} is no mapping; it has the keys {', '.join(KEYS)}")
        whole |= {key: _with(whole.get(key), value) for key, value in document.items()}
    return yaml.safe_dump(whole, sort_keys=False)


def _with(before: Any, after: Any) -> Any:
    """``after`` added to ``before``, where both are settings; of several blocks to each."""
    if isinstance(before, list) and isinstance(after, Mapping):
        return [_with(one, after) for one in before]
    both = isinstance(before, Mapping) and isinstance(after, Mapping)
    return {**before, **after} if both else after


def _read_text(path: Path) -> str:
    try:
        return checked_path("grid", path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"grid={str(path)!r} cannot be read: {error}") from error


def load_yaml(text: str, name: str) -> Any:
    """Read YAML safely, by :func:`mu.readers.documents.read_yaml`; UserError if it is none.

    ``name`` says of which file.
    """
    try:
        return read_yaml(text)
    except ValueError as error:
        raise UserError(f"grid={name!r} is no YAML of a grid: {error}") from error


def _originals(written: Any) -> Iterator[Settings]:
    """The originals of one block of settings, or of a list of blocks."""
    blocks = {"originals": written}
    if isinstance(written, list) and written:
        blocks = {f"originals[{number}]": block for number, block in enumerate(written)}
    for owner, block in blocks.items():
        yield from _combined(owner, block)


def _methods(written: Any) -> Iterator[tuple[str, Settings]]:
    """Names, and names with settings; an empty list means none, and ``all`` every method."""
    for one in written if isinstance(written, list) else [written]:
        if one == ALL:
            yield from ((name, {}) for name in unlearning_methods())
            continue
        if not isinstance(one, str) and not (isinstance(one, Mapping) and len(one) == 1):
            raise UserError(
                f"methods: {one!r} is not understood; write a name, or name: {{setting: value}}"
            )
        ((name, settings),) = [(one, {})] if isinstance(one, str) else one.items()
        yield from ((str(name), chosen) for chosen in _combined(f"methods.{name}", settings))


def _oracle(written: Any) -> Settings | None:
    if isinstance(written, Mapping):
        return _single("oracle", written)
    word = "none" if written is None else str(written)
    if word not in ORACLES:
        raise unknown("oracle", word, ORACLES)
    return {} if word == "train" else None


def _single(owner: str, written: Any) -> Settings:
    """Settings without any list of values."""
    settings, *others = _combined(owner, written)
    if others:
        raise UserError(f"{owner}: a list of values has no meaning here; give one value")
    return settings


def _combined(owner: str, written: Any) -> Iterator[Settings]:
    """Every combination of settings of which some have a list of values."""
    written = {} if written is None else written
    if not isinstance(written, Mapping):
        raise UserError(f"{owner}: {written!r} are no settings; write name: value, or {{}}")
    axes = {str(name): _axis(f"{owner}.{name}", values) for name, values in written.items()}
    _count(owner, *map(len, axes.values()))
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _count(owner: str, *sizes: int) -> None:
    """Refuse more combinations than can be planned, before there is any."""
    if (count := prod(sizes)) > MOST:
        raise UserError(
            f"{owner} has {count:,} combinations, and {MOST:,} can be planned; give fewer values, "
            "or several grids"
        )


def _axis(owner: str, written: Any) -> list[Any]:
    """One value, or a list of them."""
    values = written if isinstance(written, list) else [written]
    if not values:
        raise UserError(f"{owner}=[]: give at least one value, or leave it out")
    for value in values:
        if isinstance(value, list | Mapping):
            raise UserError(f"{owner}={value!r}: give plain values, or a list of them")
    return values
