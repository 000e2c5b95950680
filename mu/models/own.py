"""Architectures ``package.module:function``: a user's own, called with what it accepts."""

from __future__ import annotations

from torch import nn

from mu.errors import UserError
from mu.models import ModelSpec
from mu.own import call


def own(spec: ModelSpec) -> nn.Module:
    """What the function returns for those settings of ``spec`` that it accepts by name."""
    settings = {name: value for name, value in spec.as_dict().items() if name != "arch"}
    model = call("arch", spec.arch, settings, needed=("num_classes",))
    if not isinstance(model, nn.Module):
        raise UserError(f"arch {spec.arch} returns {type(model).__name__}, not a torch.nn.Module")
    return model
