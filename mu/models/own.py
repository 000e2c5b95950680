"""Architectures ``package.module:function``: a user's own, called with what it accepts."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import nn

from mu.errors import UserError
from mu.models import ModelSpec


def own(spec: ModelSpec) -> nn.Module:
    """What the function returns for those settings of ``spec`` that it accepts by name."""
    function = _function(spec.arch)
    settings = _accepted(function, spec)
    try:
        model = function(**settings)
    except TypeError as error:
        given = ", ".join(f"{name}={value!r}" for name, value in settings.items())
        raise UserError(f"arch {spec.arch} raises TypeError for ({given}): {error}") from error
    if not isinstance(model, nn.Module):
        raise UserError(f"arch {spec.arch} returns {type(model).__name__}, not a torch.nn.Module")
    return model


def _function(arch: str) -> Any:
    path, _, name = arch.partition(":")
    try:
        module = import_module(path)
    except ImportError as error:
        raise UserError(f"arch {arch}: {error}; {_remedy(path, error.name)}") from error
    try:
        return getattr(module, name)
    except AttributeError as error:
        raise UserError(f"arch {arch}: there is no {name!r} in {module!r}") from error


def _remedy(path: str, missing: str | None) -> str:
    """The module itself is missing, or something that it imports."""
    if missing and f"{path}.".startswith(f"{missing}."):
        return f"the folder that holds {path.partition('.')[0]} must be on PYTHONPATH"
    return f"the environment lacks what {path} imports"


def _accepted(function: Callable[..., Any], spec: ModelSpec) -> dict[str, Any]:
    """The settings that ``function`` accepts by name, all of them with ``**kwargs``.

    A name may come from a file that someone else wrote. What does not even accept a number of
    classes builds no classifier, and is not called.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # no function, or one without a signature
        parameters = {}.values()
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = {one.name for one in parameters if one.kind in by_name}
    takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)
    if not takes_all and "num_classes" not in names:
        raise UserError(
            f"arch {spec.arch} is no function that accepts num_classes by name (or **kwargs)"
        )
    settings = {name: value for name, value in spec.as_dict().items() if name != "arch"}
    return {name: value for name, value in settings.items() if takes_all or name in names}
