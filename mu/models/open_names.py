"""Open names: ``torchvision:NAME``, and ``package.module:function``, a user's own."""

from __future__ import annotations

from typing import Any

import torchvision
from torch import nn

from mu.custom import call
from mu.errors import UserError, unknown
from mu.models import ModelSpec
from mu.models.fit import MISFITS, misfit
from mu.models.layers import renew
from mu.models.shared import check_shared


def own(spec: ModelSpec) -> nn.Module:
    """What the function returns for those settings of ``spec`` that it accepts by name."""
    settings = {name: value for name, value in spec.as_dict().items() if name != "arch"}
    model = call("arch", spec.arch, settings, needed=("num_classes",))
    if not isinstance(model, nn.Module):
        raise UserError(f"arch {spec.arch} returns {type(model).__name__}, not a torch.nn.Module")
    check_shared(model, spec.arch)
    return model


def named(spec: ModelSpec) -> nn.Module:
    """The classifier, with fresh weights; the stem does not matter to it."""
    name = spec.arch.partition(":")[2]
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise unknown("classifier of torchvision", name, known)
    settings = {"num_classes": spec.num_classes, **_extras(name, spec.image_size)}
    try:
        model: nn.Module = torchvision.models.get_model(name, weights=None, **settings)
    except MISFITS as error:
        raise misfit(spec, error) from error
    if spec.in_channels != 3:
        _take_channels(model, spec.in_channels)
    return model


def _extras(name: str, image_size: int) -> dict[str, Any]:
    """The settings without which a network returns more than logits, warns, or is of one size."""
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True}
    if name.startswith("vit_"):
        return {"image_size": image_size}
    if name.startswith("maxvit_"):
        return {"input_size": (image_size, image_size)}
    return {}


def _take_channels(model: nn.Module, in_channels: int) -> None:
    """Put a fresh first convolution in the place of that for three channels."""
    convolutions = (pair for pair in model.named_modules() if isinstance(pair[1], nn.Conv2d))
    renew(model, next(convolutions)[0], in_channels=in_channels)
