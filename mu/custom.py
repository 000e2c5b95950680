"""Names ``package.module:function``: a function of the user's own, found, checked and called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from mu import registry, trust
from mu.errors import UserError

OWN = "package.module:function"


def check_name(kind: str, name: str, table: Iterable[str], *others: str) -> str:
    """The registered spelling of ``name``, or an open name, of which only the form is checked.

    ``others``: forms of open names beside ``package.module:function``, for messages. UserError if
    there is no such name; the message gives the nearest one and the open forms.
    """
    forms = [*others, OWN]
    if ":" not in name:
        try:
            return registry.canonical(kind, name, table)
        except UserError as error:
            verb = "are names" if others else "is a name"
            raise UserError(f"{error} ({' and '.join(forms)} {verb} too)") from None
    module, _, function = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), function)):
        raise UserError(f"{kind} {name!r}: write {' or '.join(forms)}")
    return name


def call(kind: str, name: str, settings: Mapping[str, Any], needed: Sequence[str]) -> Any:
    """What the function returns for those ``settings`` that it accepts by name.

    ``kind``: what it is to make, for messages: ``arch``, ``dataset``. ``needed``: settings that it
    must accept; what does not accept these makes no such thing, and is not called. UserError if
    there is no such function, it does not take the settings, or the name comes from a file and is
    not trusted (:mod:`mu.trust`); nothing is imported then.
    """
    trust.check(kind, name)
    function = _function(kind, name)
    accepted = _accepted(function, settings)
    if not set(needed) <= set(accepted):
        raise UserError(
            f"{kind} {name} is no function that accepts {' and '.join(needed)} by name "
            "(or **kwargs)"
        )
    try:
        return function(**accepted)
    except TypeError as error:
        given = ", ".join(f"{key}={value!r}" for key, value in accepted.items())
        raise UserError(f"{kind} {name} raises TypeError for ({given}): {error}") from error


def _function(kind: str, name: str) -> Any:
    path, _, attribute = name.partition(":")
    try:
        module = import_module(path)
    except ImportError as error:
        raise UserError(f"{kind} {name}: {error}; {_remedy(path, error.name)}") from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise UserError(f"{kind} {name}: there is no {attribute!r} in {module!r}") from error


def _remedy(path: str, missing: str | None) -> str:
    """The module itself is missing, or something that it imports."""
    if missing and f"{path}.".startswith(f"{missing}."):
        return f"the folder that holds {path.partition('.')[0]} must be on PYTHONPATH"
    return f"the environment lacks what {path} imports"


def _accepted(function: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that ``function`` accepts by name, all of them with ``**kwargs``."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # no function, or one without a signature
        parameters = {}.values()
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = {one.name for one in parameters if one.kind in by_name}
    takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)
    return {name: value for name, value in settings.items() if takes_all or name in names}
