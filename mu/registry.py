"""Names for things that live in small files, resolved without importing them all.

A registry is a plain dict from name to an import path (``"mu.methods.ft:FineTune"``), so that
an unknown name is refused, with the nearest ones, before torch is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from mu.errors import unknown


def canonical(
    kind: str, name: str, table: Mapping[str, str], aliases: Mapping[str, str] | None = None
) -> str:
    """The registered spelling of ``name``, which may be an alias.

    Raises
    ------
    UserError
        If there is no such name; the message gives the nearest ones.
    """
    if name in table:
        return name
    found = (aliases or {}).get(name)
    if found is None:
        raise unknown(kind, name, [*table, *(aliases or {})])
    return found


def load(path: str) -> Any:
    """Import what ``"package.module:attribute"`` names."""
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)
