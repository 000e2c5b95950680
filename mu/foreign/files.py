"""Files with weights that other programs wrote: read as tensors by name, and nothing executed.

A safetensors file, or what ``torch.save`` wrote, read with ``weights_only``: a state dict, alone
or under one of the usual keys of a checkpoint.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mu.errors import UserError
from mu.readers.paths import checked_path
from mu.readers.tensors import read_tensors

# Where checkpoints keep the state dict, in the order in which they are looked for.
KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
SAVE_ALONE = "save its state_dict alone: torch.save(model.state_dict(), 'weights.pt')"


@dataclass(frozen=True, eq=False)
class WeightFile:
    """What a file holds.

    Parameters
    ----------
    digest
        sha256 (hex) of the file.
    tensors
        By the names of the file, on the CPU.
    key
        Under which the state dict lay, if it was not alone.
    """

    path: Path
    digest: str
    tensors: Mapping[str, Tensor]
    key: str | None


def read_weight_file(path: Path | str) -> WeightFile:
    """Read a safetensors file, or a state dict that ``torch.save`` wrote.

    Raises
    ------
    UserError
        If there is no such file, or it holds no state dict, or objects that would have to be
        unpickled.
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
    loaded = (_safetensors if content[8:9] == b"{" else _torch)(path, content)
    key, tensors = _state_dict(path, loaded)
    return WeightFile(path, hashlib.sha256(content).hexdigest(), tensors, key)


def _safetensors(path: Path, content: bytes) -> Any:
    try:
        return read_tensors(content)[0]
    except ValueError as error:
        raise UserError(f"{str(path)!r} is damaged or no checkpoint: {error}") from error


def _torch(path: Path, content: bytes) -> Any:
    """What ``torch.save`` wrote: tensors, numbers and containers of them only."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # on damaged files the reader raises nearly anything
        if found := re.search(r"GLOBAL (\S+)", str(error)):
            raise UserError(
                f"{str(path)!r} holds a pickled {found[1]}, which is not unpickled, since that "
                f"could execute anything; {SAVE_ALONE}"
            ) from None
        if "TorchScript" in str(error):
            raise UserError(f"{str(path)!r} is a TorchScript program; {SAVE_ALONE}") from None
        raise UserError(
            f"{str(path)!r} is damaged or no checkpoint; give a file that torch.save wrote, or a "
            "safetensors file"
        ) from error


def _state_dict(path: Path, loaded: Any) -> tuple[str | None, dict[str, Tensor]]:
    """The state dict among what was loaded, and its key."""
    if not isinstance(loaded, Mapping):
        raise UserError(
            f"{str(path)!r} holds a {type(loaded).__name__}, not a state dict; {SAVE_ALONE}"
        )
    found, key = loaded, None
    for name in KEYS:
        inner = loaded.get(name)
        if isinstance(inner, Mapping) and any(isinstance(one, Tensor) for one in inner.values()):
            found, key = inner, name
            break
    tensors = {name: one for name, one in found.items() if isinstance(one, Tensor)}
    if not tensors:
        names = ", ".join(map(repr, list(found)[:5])) or "nothing"
        raise UserError(
            f"{str(path)!r} holds no state dict (found {names}); {SAVE_ALONE}, or keep it under "
            f"one of {', '.join(KEYS)}"
        )
    for name, one in found.items():
        if not isinstance(name, str) or name not in tensors:
            raise UserError(
                f"{str(path)!r} holds {name!r}, a {type(one).__name__}, among its tensors; "
                f"{SAVE_ALONE}"
            )
        if one.layout != torch.strided or one.is_meta or one.is_quantized or one.is_complex():
            raise UserError(
                f"{name!r} in {str(path)!r} is no plain tensor of numbers (it is sparse, "
                "quantised, complex or without values); save it as float32"
            )
    return key, {name: tensors[name].detach() for name in tensors}
