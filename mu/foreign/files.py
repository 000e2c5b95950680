"""Files with weights that other programs wrote: every tensor in them by name, nothing executed.

A safetensors file, an npz file, or what ``torch.save`` wrote, read with ``weights_only``. Objects
in the last kind are not made: an empty one takes the place of each, so that a file is read whatever
it holds beside its weights (``argparse.Namespace``, numpy's numbers, a trainer's state). Of a whole
network that was saved as an object, its tensors are read, and so are numpy's arrays, from their
bytes, size and type: :mod:`mu.foreign.unread`.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mu.errors import UserError
from mu.foreign.unread import OF_ARRAYS, Array, Items, Unread, tensor_of
from mu.readers.arrays import read_npz
from mu.readers.paths import checked_path
from mu.readers.tensors import read_tensors

SAVE_ALONE = "save its state_dict alone: torch.save(model.state_dict(), 'weights.pt')"
MOST_KINDS = 200  # of objects in a file
STAND_INS = "unread"  # the module of what stands for them
SHORTEST = 100  # bytes of a pickle that holds weights
OLD_SAVE = b"\x8a\n"  # how what torch.save wrote before it wrote archives goes on
DEEPEST = 30  # mappings in each other, and modules of a network that was saved whole


@dataclass(frozen=True, eq=False)
class WeightFile:
    """What a file holds, by names in which a dot stands for each step inwards."""

    path: Path
    digest: str  # sha256 (hex) of the file
    tensors: Mapping[str, Tensor]  # on the CPU: ``state_dict.conv1.weight``
    # By the same names, the mapping in the file that holds the tensor: ``state_dict``.
    homes: Mapping[str, str]
    # Numbers, texts and what else is no tensor; of an object that was not made, its type.
    values: Mapping[str, Any]


def read_weight_file(path: Path | str) -> WeightFile:
    """Read a safetensors file, an npz file, or what ``torch.save`` wrote.

    UserError if there is no such file, it holds no tensors, or is of another kind.
    """
    path = checked_path("file", path).absolute()
    if path.is_dir():
        raise UserError(f"{str(path)!r} is a folder; name the file in it")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"there is no file {str(path)!r}; name a checkpoint's file") from None
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    loaded = _reader_of(content)(path, content)
    if not isinstance(loaded, Mapping | list | tuple):
        raise UserError(
            f"{str(path)!r} holds a {type(loaded).__name__}, not a state dict; {SAVE_ALONE}"
        )
    found = [*_leaves(loaded, (), set())]
    tensors = {name: one.detach() for name, _, one in found if isinstance(one, Tensor)}
    values = {name: one for name, _, one in found if name not in tensors}
    if not tensors or "" in tensors:
        kinds = {f"a pickled {one.__name__}" for one in values.values() if isinstance(one, type)}
        names = [*map(repr, loaded)] if isinstance(loaded, Mapping) else []
        held = ", ".join([*sorted(kinds), *names][:5]) or "nothing"
        raise UserError(f"{str(path)!r} holds no state dict (found {held}); {SAVE_ALONE}")
    homes = {name: home for name, home, _ in found if name in tensors}
    return WeightFile(path, hashlib.sha256(content).hexdigest(), tensors, homes, values)


def _safetensors(path: Path, content: bytes) -> Any:
    try:
        return read_tensors(content)[0]
    except ValueError as error:
        raise UserError(f"{str(path)!r} is damaged or no checkpoint: {error}") from error


def _reader_of(content: bytes) -> Callable[[Path, bytes], Any]:
    """What reads such a file, by its first bytes; of an archive, by what its first member is."""
    if content[8:9] == b"{":
        return _safetensors
    # A name is in the archive's first header; those of torch.save begin with data.pkl or a folder.
    name = content[30 : 30 + int.from_bytes(content[26:28], "little")]
    return _npz if content[:4] == b"PK\x03\x04" and name.endswith(b".npy") else _torch


def _npz(path: Path, content: bytes) -> Any:
    try:
        arrays = read_npz(content)
    except ValueError as error:
        raise UserError(f"{str(path)!r} is damaged or no checkpoint: {error}") from error
    tensors = {name: tensor_of(one) for name, one in arrays.items()}
    return {name: str(arrays[name].dtype) if one is None else one for name, one in tensors.items()}


def _torch(path: Path, content: bytes) -> Any:
    """What ``torch.save`` wrote; an :class:`Unread` in the place of each object."""
    stand_ins: dict[str, type] = {}
    while len(stand_ins) < MOST_KINDS:
        known: list[Any] = [(kind, name) for name, kind in stand_ins.items()]
        try:
            with warnings.catch_warnings(), torch.serialization.safe_globals(known):
                warnings.simplefilter("ignore")
                return torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # on damaged files the reader raises nearly anything
            name, kind = _stand_in(str(error))
            if kind is None or stand_ins.get(name) is kind:
                raise _refusal(path, content, str(error)) from error
            stand_ins[name] = type(name, (kind,), {"__module__": STAND_INS})
    raise UserError(f"{str(path)!r} holds more than {MOST_KINDS} kinds of objects; {SAVE_ALONE}")


def _stand_in(text: str) -> tuple[str, type | None]:
    """The object at which the reader stopped, by its words, and what can stand for it."""
    if found := re.search(rf"Can only SETITEMS? .* got <class '{STAND_INS}\.([\w.]+)'>", text):
        return found[1], Items
    if found := re.search(r"Unsupported global: GLOBAL ([\w.]+) was", text):
        name = found[1] if "." in found[1] else f"builtins.{found[1]}"
        return name, OF_ARRAYS.get(name.replace("._core.", ".core."), Unread)
    return "", None


def _refusal(path: Path, content: bytes, text: str) -> UserError:
    """Why a file is not read, where the reader stopped with these words."""
    file = repr(str(path))
    if content[:6] == b"\x93NUMPY":
        return UserError(
            f"{file} is a single array, or pickled objects; save the arrays by name: "
            "np.savez('weights.npz', **arrays)"
        )
    if found := re.search(r"GLOBAL (\S{1,200})", text):
        return UserError(
            f"{file} holds a pickled {ascii(found[1])[1:-1]}, which is not unpickled, since that "
            f"could execute anything; {SAVE_ALONE}"
        )
    if "TorchScript" in text:
        return UserError(f"{file} is a TorchScript program; {SAVE_ALONE}")
    plain = content[:1] == b"\x80" and content[2:4] != OLD_SAVE and len(content) > SHORTEST
    whole = "persistent_load" in text
    if plain or whole or (content[:2] == b"PK" and "Unsupported operand" in text):
        return UserError(
            f"{file} was pickled otherwise than torch.save does by default; save it anew: "
            "torch.save(model.state_dict(), 'weights.pt')"
        )
    return UserError(
        f"{file} is damaged or no checkpoint; give a file that torch.save wrote, or a "
        "safetensors file"
    )


def _leaves(value: Any, steps: tuple[str, ...], seen: set[int]) -> Iterator[tuple[str, str, Any]]:
    """Name, home and value of all that no container is; one that is there twice is read once.

    Of an object that was not made, its type, and then what it was given.
    """
    name, home = ".".join(steps), ".".join(steps[:-1])
    if isinstance(value, Array) and (made := value.tensor()) is not None:
        yield name, home, made
        return
    if not isinstance(value, Mapping | list | tuple):
        yield name, home, value
        return
    if id(value) in seen or len(steps) >= DEEPEST:
        return
    seen.add(id(value))
    if isinstance(value, Unread):
        if "_modules" in value.state:
            for inner, tensor in _of_network(value, "", seen):
                yield f"{name}.{inner}" if name else inner, name, tensor
            return
        yield name, home, type(value)
    for key, one in _entries(value):
        yield from _leaves(one, (*steps, _step(key)), seen)


def _step(key: Any) -> str:
    """A key as part of a name; names are printed, so what controls a terminal is spelt out."""
    return text if (text := str(key)).isprintable() else ascii(text)[1:-1]


def _entries(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
        return
    yield from enumerate(value)
    yield from (value.state if isinstance(value, Unread) else {}).items()


def _of_network(network: Unread, prefix: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """The state dict of a network that was saved as an object, from what it was given."""
    parts = [network.state.get(name) for name in ("_parameters", "_buffers", "_modules")]
    for name, one in [pair for part in parts if isinstance(part, Mapping) for pair in part.items()]:
        if isinstance(one, Tensor):
            yield f"{prefix}{_step(name)}", one
        elif isinstance(one, Unread) and id(one) not in seen and prefix.count(".") < DEEPEST:
            seen.add(id(one))
            yield from _of_network(one, f"{prefix}{_step(name)}.", seen)
