"""Mask: which weights may be non-zero. Immutable, bound to parameters by name, one bit a weight."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from mu.errors import UserError
from mu.readers.documents import read_json
from mu.readers.tensors import read_tensors

_FORMAT = "mu.mask/1"


class Mask(Mapping[str, Tensor]):
    """An immutable mapping of parameter name to a bool tensor; ``True`` means kept.

    The names are those of the unwrapped module's ``named_parameters()``, so a mask fits the same
    model whatever wraps it. Parameters that are not named are not prunable. ``kept``: bool tensors,
    each of the shape of its parameter. They are copied to the CPU.
    """

    def __init__(self, kept: Mapping[str, Tensor]) -> None:
        for name, tensor in kept.items():
            if tensor.dtype != torch.bool:
                raise TypeError(f"mask of {name} has dtype {tensor.dtype}, not torch.bool")
        self._kept = {name: kept[name].detach().to("cpu", copy=True) for name in sorted(kept)}

    @classmethod
    def dense(cls, model: nn.Module, names: list[str]) -> Self:
        """The mask that keeps every weight of the parameters ``names`` of ``model``."""
        parameters = dict(model.named_parameters())
        return cls({name: torch.ones_like(parameters[name], dtype=torch.bool) for name in names})

    def __getitem__(self, name: str) -> Tensor:
        return self._kept[name].clone()

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mask) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"Mask({len(self)} parameters, {self.kept} of {self.total} kept)"

    @cached_property
    def total(self) -> int:
        """Number of prunable weights."""
        return sum(tensor.numel() for tensor in self._kept.values())

    @cached_property
    def kept(self) -> int:
        """Number of weights that may be non-zero."""
        return sum(int(tensor.sum()) for tensor in self._kept.values())

    @property
    def sparsity(self) -> float:
        """Share of prunable weights that are pruned, in percent (0-100)."""
        return 100.0 * (1 - self.kept / self.total) if self.total else 0.0

    @property
    def is_dense(self) -> bool:
        """Whether nothing is pruned."""
        return self.kept == self.total

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of the packed file; equal masks have equal fingerprints."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def layers(self) -> list[dict[str, Any]]:
        """Kept and total weights of each parameter, in the order of names."""
        return [
            {
                "name": name,
                "shape": list(tensor.shape),
                "kept": int(tensor.sum()),
                "total": tensor.numel(),
                "sparsity": round(100.0 * (1 - float(tensor.double().mean())), 4),
            }
            for name, tensor in self._kept.items()
        ]

    def summary(self) -> dict[str, Any]:
        """A JSON-ready summary: overall and per-layer sparsity."""
        overall = {"kept": self.kept, "total": self.total, "sparsity": round(self.sparsity, 4)}
        return {**overall, "fingerprint": self.fingerprint, "layers": self.layers()}

    # --- binding to a model ---------------------------------------------------------------

    def check(self, model: nn.Module) -> None:
        """Refuse a model that this mask does not fit.

        UserError naming the parameter that is missing or has another shape.
        """
        parameters = dict(model.named_parameters())
        for name, tensor in self._kept.items():
            if name not in parameters:
                raise UserError(
                    f"the mask names {name!r}, which the model does not have; "
                    "use the mask with the architecture that it was made for"
                )
            if parameters[name].shape != tensor.shape:
                raise UserError(
                    f"the mask of {name!r} has shape {list(tensor.shape)}, the model's is "
                    f"{list(parameters[name].shape)}; use the architecture and stem of the mask"
                )

    def bind(self, model: nn.Module) -> BoundMask:
        """The mask on the device and in the dtype of ``model``, ready to be enforced."""
        self.check(model)
        return BoundMask(self, model)

    def apply(self, model: nn.Module) -> None:
        """Set the pruned weights of ``model`` to exactly zero."""
        self.bind(model).apply()

    def nonzero(self, model: nn.Module) -> Mask:
        """The mask that keeps, of these weights, those that are not zero in ``model``."""
        self.check(model)
        parameters = dict(model.named_parameters())
        return Mask(
            {name: kept & (parameters[name].detach().cpu() != 0) for name, kept in self.items()}
        )

    # --- files ----------------------------------------------------------------------------

    def packed(self) -> dict[str, Tensor]:
        """One bit a prunable weight: uint8 of shape (ceil(n / 8),) by name."""
        return {name: _pack(tensor) for name, tensor in self._kept.items()}

    @classmethod
    def from_packed(cls, packed: Mapping[str, Tensor], shapes: Mapping[str, list[int]]) -> Self:
        """The mask of what :meth:`packed` gave, with the shapes of its parameters.

        ValueError if names or sizes do not fit the shapes.
        """
        checked = _checked_shapes(shapes, set(packed))
        return cls({name: _unpack(packed[name], shape) for name, shape in checked.items()})

    def to_bytes(self) -> bytes:
        """The packed file: one bit a prunable weight, names and shapes in the header."""
        shapes = {name: list(tensor.shape) for name, tensor in self._kept.items()}
        # One key only: safetensors writes several in any order, and the bytes are fingerprinted.
        return save(self.packed(), metadata={_FORMAT: json.dumps(shapes)})

    def save(self, path: Path) -> Path:
        """Write the packed file to ``path``."""
        path.write_bytes(self.to_bytes())
        return path

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a packed mask; nothing in the file is executed.

        UserError if the file is missing, is no mask, or its sizes disagree with its shapes.
        """
        if not path.is_file():
            raise UserError(f"there is no mask file {path}")
        try:
            packed, meta = read_tensors(path.read_bytes())
            if _FORMAT not in meta:
                raise UserError(f"{path} is no mask of mu (it has no {_FORMAT} header)")
            return cls.from_packed(packed, read_json(meta[_FORMAT]))
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is damaged or no mask: {error}") from error


def _checked_shapes(shapes: Any, stored: set[str]) -> dict[str, list[int]]:
    """The header of a mask file, if it names exactly the stored tensors, each with a shape."""
    if not isinstance(shapes, dict) or set(shapes) != stored:
        raise ValueError("its header does not name its tensors")
    for shape in shapes.values():
        if not isinstance(shape, list) or not all(type(n) is int and 0 <= n < 2**31 for n in shape):
            raise ValueError(f"its header has the shape {shape!r}")
    return shapes


def _pack(kept: Tensor) -> Tensor:
    return torch.from_numpy(np.packbits(kept.numpy().reshape(-1)))


def _unpack(packed: Tensor, shape: list[int]) -> Tensor:
    count = math.prod(shape)
    if packed.dtype != torch.uint8 or packed.numel() != (count + 7) // 8:
        raise ValueError(f"{packed.numel()} packed bytes do not hold the shape {shape}")
    bits = np.unpackbits(packed.numpy(), count=count).astype(bool)
    return torch.from_numpy(bits.reshape(shape))


class BoundMask:
    """A mask tied to the parameters of one model, held in their dtype on their device.

    The training loop zeroes the gradients of pruned weights and applies the mask again after
    each step: momentum that is older than the mask would move pruned weights otherwise.
    A dense mask costs nothing.
    """

    def __init__(self, mask: Mask, model: nn.Module) -> None:
        parameters = dict(model.named_parameters())
        pruned = [name for name in mask if not bool(mask[name].all())]
        self._parameters = [parameters[name] for name in pruned]
        # Like the parameter in dtype, device and memory format, so that products are plain ones.
        self._factors = [
            torch.empty_like(parameters[name], requires_grad=False).copy_(mask[name])
            for name in pruned
        ]
        self._pruned = [factor == 0 for factor in self._factors]

    @torch.no_grad()
    def mask_gradients(self) -> None:
        """Zero the gradients of pruned weights."""
        pairs = [
            (parameter.grad, factor)
            for parameter, factor in zip(self._parameters, self._factors, strict=True)
            if parameter.grad is not None
        ]
        if pairs:
            torch._foreach_mul_([grad for grad, _ in pairs], [factor for _, factor in pairs])

    @torch.no_grad()
    def apply(self) -> None:
        """Set pruned weights to exactly zero, whatever they hold (even NaN, never -0.0)."""
        for parameter, pruned in zip(self._parameters, self._pruned, strict=True):
            parameter.masked_fill_(pruned, 0.0)
