"""First convolutions and patches that suit the images."""

from __future__ import annotations

from typing import Any

from torch import nn

from mu.models import ModelSpec
from mu.models.fit import misfit


def renew(model: nn.Module, name: str, **changes: Any) -> nn.Conv2d:
    """Replace a convolution of ``model`` by a fresh one, of the same settings but ``changes``."""
    old = model.get_submodule(name)
    if not isinstance(old, nn.Conv2d):
        raise TypeError(f"{name} is no convolution")
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation")
    settings = {one: getattr(old, one) for one in (*names, "groups", "padding_mode")}
    new = nn.Conv2d(**{**settings, "bias": old.bias is not None, **changes})
    model.set_submodule(name, new)
    return new


def draw_as_he(convolution: nn.Module) -> None:
    """Draw the weights as torchvision's networks of ReLUs draw theirs."""
    nn.init.kaiming_normal_(
        convolution.get_parameter("weight"), mode="fan_out", nonlinearity="relu"
    )
    if convolution.bias is not None:
        nn.init.zeros_(convolution.get_parameter("bias"))


def patch_side(spec: ModelSpec, wanted: float) -> int:
    """The side of square patches that cover the image: the divisor nearest to ``wanted``.

    UserError if no divisor is at least half and at most twice as long: one patch would be most of
    the image, or there would be so many that attention becomes slow.
    """
    size, wanted = spec.image_size, max(wanted, 1.0)
    divisors = (side for side in range(1, size + 1) if size % side == 0)
    side = min(divisors, key=lambda one: abs(one - wanted))
    if not wanted / 2 <= side <= wanted * 2:
        reason = f"no patch of about {wanted:.0f} pixels divides {size}"
        raise misfit(spec, reason, "bring them to a multiple of 8, or use another arch")
    return side
