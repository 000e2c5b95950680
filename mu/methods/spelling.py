"""A method with its settings as one text: ``salun:epochs=5:lr=0.1``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_type_hints

from mu.errors import UserError, unknown
from mu.hyperparameters import base_type
from mu.methods import make_method, method_class
from mu.methods.base import Method

WORDS = {"true": True, "false": False}


def spelled_method(text: str, given: Mapping[str, Any]) -> Method:
    """The method that is spelled; of ``given`` settings those that it has and are not spelled.

    UserError if the name or a setting is unknown, or a value is none of its setting.
    """
    name, *pairs = text.split(":")
    kind = method_class(name)
    hints, settings = get_type_hints(kind), {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key not in kind.names():
            raise unknown(f"setting of method {name} in {text!r}", key, kind.names())
        try:
            made = base_type(hints[key])
            settings[key] = WORDS[value] if made is bool else made(value)
        except (ValueError, KeyError) as error:
            raise UserError(f"{text!r}: {pair!r} is no value of {key}; write {key}=…") from error
    ours = {one: value for one, value in given.items() if one in kind.names()}
    return make_method(name, {**ours, **settings})
