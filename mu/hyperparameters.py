"""Dataclass fields that know their help and range, and dataclasses that check them.

Every setting of mu (a training recipe, a pruner, an unlearning method) is a frozen dataclass.
Its fields are the one place where default, help and range stand; the command line, the
documentation and the checks are read off them.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Self, get_args, get_type_hints

from mu.errors import UserError, unknown
from mu.model_names import checked_model_name
from mu.readers.paths import checked_path

LARGEST_SEED = 2**32 - 1  # what every library's generators take
# The most that makes sense, of settings that stand in several groups.
MOST_EPOCHS = 100_000
MOST_BATCH = 2**20  # images
MOST_PROCESSES = 1024
LARGEST_RATE = 1e38  # of learning; float32 ends there
LARGEST_SIDE = 4096  # pixels of an image that a network is given
LARGEST = 10**12  # in size, of a number whose setting names no bound of its own


def setting(
    default: Any = MISSING,
    *,
    help: str,
    low: float | None = None,
    high: float | None = None,
    below: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] = (),
    formerly: str | None = None,
) -> Any:
    """A dataclass field with its help and range.

    ``low`` and ``high`` are allowed values, ``below`` and ``above`` are not. ``formerly`` is the
    name that earlier versions gave it: it is still understood, and stands in fingerprints.
    """
    bounds = {"low": low, "high": high, "below": below, "above": above}
    texts = {"help": help, "choices": choices, "formerly": formerly}
    return field(default=default, metadata={**texts, **bounds})


def optional(*, help: str, **about: Any) -> Any:
    """A field that is None where it is not given; ``about`` as of :func:`setting`."""
    return setting(None, help=help, **about)


def seed_setting(help: str) -> Any:
    """A field that is a seed."""
    return setting(0, help=help, low=0, high=LARGEST_SEED)


def path_setting(*, help: str) -> Any:
    """A field that is None, or the path of a file or folder."""
    return field(default=None, metadata={**optional(help=help).metadata, "check": checked_path})


def register_setting() -> Any:
    """A field that is None, or the name of a registered model."""
    help = "when the run has ended well, make its network a new version of that registered model"
    check = checked_model_name
    return field(default=None, metadata={**optional(help=help).metadata, "check": check})


def searched(one: Any, low: float, high: float) -> Any:
    """The field ``one``, with the range in which ``tune`` looks for a better value."""
    return field(default=one.default, metadata={**one.metadata, "search": (low, high)})


def later(one: Any) -> Any:
    """The field ``one``, which earlier versions had not: its default stands in no fingerprint."""
    return field(default=one.default, metadata={**one.metadata, "later": True})


def changed(owner: type[Hyperparameters], name: str, default: Any) -> Any:
    """The field ``name`` of ``owner`` with another default, for a class that inherits it."""
    inherited = {one.name: one for one in fields(owner)}[name]
    return field(default=default, metadata=inherited.metadata)


def base_type(annotation: Any) -> type:
    """The plain type of an annotation: ``float`` for ``float`` and for ``float | None``."""
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    chosen = kinds[0] if kinds else annotation
    if not isinstance(chosen, type):
        raise TypeError(f"a setting cannot have the type {annotation!r}")
    return chosen


@dataclass(frozen=True)
class Hyperparameters:
    """A frozen group of settings that refuses values of the wrong type or out of range."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for one in fields(self):
            checked = checked_value(one, hints[one.name], getattr(self, one.name))
            object.__setattr__(self, one.name, checked)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the settings, in their order."""
        return tuple(one.name for one in fields(cls))

    @classmethod
    def former_names(cls) -> dict[str, str]:
        """The names that earlier versions gave to settings, by those of today."""
        formerly = {one.name: one.metadata.get("formerly") for one in fields(cls)}
        return {name: former for name, former in formerly.items() if former}

    @classmethod
    def renamed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """``values`` by today's names.

        UserError if one is given by both of its names.
        """
        today = {former: name for name, former in cls.former_names().items()}
        if twice := [name for name in values if today.get(name) in values]:
            (former, *_), name = twice, today[twice[0]]
            raise UserError(f"{former} is the former name of {name}; give one of the two")
        return {today.get(name, name): value for name, value in values.items()}

    @classmethod
    def of(cls, values: Mapping[str, Any], *, owner: str | None = None) -> Self:
        """Build from a mapping, refusing names that are not settings.

        UserError if a name is unknown, or a value has the wrong type or is out of range.
        """
        values = cls.renamed(values)
        for name in values:
            if name not in cls.names():
                raise unknown(f"setting of {owner or cls.__name__}", name, cls.names())
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """The settings by name; plain numbers, texts and booleans only."""
        return dataclasses.asdict(self)

    def by_former_names(self) -> dict[str, Any]:
        """As :meth:`as_dict`, for fingerprints, which a new name is not to change."""
        former = self.former_names()
        return {former.get(name, name): value for name, value in self.as_dict().items()}

    def as_before(self) -> dict[str, Any]:
        """As :meth:`as_dict`, without later settings that have their default."""
        later = {one.name: one.default for one in fields(self) if one.metadata.get("later")}
        return {n: value for n, value in self.as_dict().items() if later.get(n, ...) != value}

    def replace(self, **values: Any) -> Self:
        """A copy with other values, checked again."""
        return dataclasses.replace(self, **values)


@contextmanager
def typed_as(prefix: str, names: Sequence[str]) -> Iterator[None]:
    """Put ``prefix`` before the name that a message of the block begins with, as it is typed."""
    try:
        yield
    except UserError as error:
        if re.split(r"\W", str(error), maxsplit=1)[0] in names:
            raise UserError(f"{prefix}{error}") from error
        raise


def checked_value(
    one: dataclasses.Field[Any], annotation: Any, value: Any, name: str | None = None
) -> Any:
    """A value of the field ``one``, in its type.

    UserError if it has another type or is out of range; ``name`` is what the user calls it.
    """
    name = name or one.name
    if value is None and type(None) in get_args(annotation):
        return None
    checked = _typed(name, value, base_type(annotation))
    if check := one.metadata.get("check"):
        check(name, checked)
    _check_range(one, checked, name)
    return checked


def _typed(name: str, value: Any, kind: type) -> Any:
    if kind is float and type(value) is int and abs(value) <= LARGEST:
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"{name}={value!r} is not of type {kind.__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{name}={value}: give a finite number")
    if isinstance(value, str) and re.search("[\0\ud800-\udfff]", value):
        raise UserError(f"{name}={value!r} holds what is no letter; give a text in UTF-8")
    return value


def _check_range(one: dataclasses.Field[Any], value: Any, name: str) -> None:
    choices = one.metadata.get("choices", ())
    if choices and value not in choices:
        raise unknown(name, str(value), choices)
    if not isinstance(value, int | float):
        return
    low, high = one.metadata["low"], one.metadata["high"]
    above, below = one.metadata["above"], one.metadata["below"]
    inside = (
        (low is None or value >= low)
        and (high is None or value <= high)
        and (above is None or value > above)
        and (below is None or value < below)
    )
    if not inside:
        raise UserError(f"{name}={value}: must be {range_text(one)}")
    if high is None and below is None and abs(value) > LARGEST:
        raise UserError(f"{name}={value}: no such number makes sense; it is at most {LARGEST:g}")


def range_text(one: dataclasses.Field[Any]) -> str:
    """The allowed range of a field in words, empty when there is none."""
    words = {"low": "at least", "above": "above", "high": "at most", "below": "below"}
    bounds = ((word, one.metadata.get(key)) for key, word in words.items())
    texts = ((word, f"{b:g}" if isinstance(b, float) else b) for word, b in bounds)
    return " and ".join(f"{word} {text}" for word, text in texts if text is not None)
