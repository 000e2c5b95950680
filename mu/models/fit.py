"""Whether a network takes the images, found by one pass of two zero images."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor

from mu.errors import UserError
from mu.models import TORCHVISION, ModelSpec, is_own

# What layers and torchvision's constructors raise where shapes do not fit.
MISFITS = (RuntimeError, ValueError, AssertionError)


def misfit(
    spec: ModelSpec, reason: object, remedy: str = "use a larger image_size or another arch"
) -> UserError:
    """The error for images of a size that the network cannot take."""
    # torchvision's own networks know no stem.
    stem = "" if spec.arch.startswith(TORCHVISION) else f" with stem {spec.stem}"
    size = f"{spec.image_size}x{spec.image_size}"
    return UserError(f"arch {spec.arch}{stem} cannot take images of {size} ({reason}); {remedy}")


def check_fit(spec: ModelSpec) -> None:
    """Try the network on two zero images, in evaluation mode.

    Takes a fraction of a second: of the architectures that mu and torchvision name, only shapes are
    worked out. What fitted once is not tried again, except functions of the user's. UserError if it
    cannot be built, does not take such images, or does not return their logits.
    """
    (_try if is_own(spec.arch) else _try_once)(spec)


def weights_misfit(spec: ModelSpec, weights: Mapping[str, Tensor]) -> str | None:
    """How weights differ from those of the network that ``spec`` names; None where they fit.

    Shapes alone are worked out, so no memory is taken for a network of absurd size. An architecture
    that needs values for that is not looked into. UserError if there is no such network.
    """
    if _device(spec.arch) != "meta":
        return None
    own, given = _outline(spec), {name: _in_words(one) for name, one in weights.items()}
    for name in sorted({*own, *given}):
        wanted, found = (one.get(name, "missing") for one in (own, given))
        if wanted != found:
            return f"{name!r} is {found}, not {wanted}"
    return None


@lru_cache(maxsize=64)
def _outline(spec: ModelSpec) -> dict[str, str]:
    """Types and shapes of a network's weights, by their names; of none that is the user's own."""
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            return {name: _in_words(one) for name, one in spec.build(0).state_dict().items()}
    except MISFITS as error:
        raise misfit(spec, error) from error


def _in_words(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {[*tensor.shape]}"


def _try(spec: ModelSpec) -> None:
    images = (2, spec.in_channels, spec.image_size, spec.image_size)
    with torch.device(_device(spec.arch)), torch.random.fork_rng(devices=[]), torch.no_grad():
        model = spec.build(0).eval()
        try:
            logits = model(torch.zeros(images))
        except MISFITS as error:
            raise misfit(spec, error) from error
    if not isinstance(logits, Tensor):
        raise UserError(
            f"arch {spec.arch} returns {type(logits).__name__}, not one tensor of logits"
        )
    if logits.shape != (2, spec.num_classes):
        raise UserError(
            f"arch {spec.arch} returns {tuple(logits.shape)} for 2 images of {spec.num_classes} "
            f"classes, not (2, {spec.num_classes}); honour num_classes in its last layer"
        )


_try_once = lru_cache(maxsize=64)(_try)


def _device(arch: str) -> str:
    """Shapes alone are worked out on the meta device, without memory and in no time.

    A RegNet reads values while it is built, and an own function may; the meta device has none.
    """
    return "cpu" if is_own(arch) or arch.startswith(f"{TORCHVISION}regnet_") else "meta"
