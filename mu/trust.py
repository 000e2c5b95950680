"""Whose code may run: names ``package.module:function`` that a file gives, and not the user.

A spec names the architecture and the data set. Where these are functions of somebody's own, using
the spec means importing them, and importing runs code. So a name from a file is marked as
:class:`Foreign` when it is read, unless it is trusted then, and :func:`mu.custom.call`, through
which every such name goes, refuses what is marked. Names that the user types are plain texts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from mu.errors import UserError

VARIABLE = "MU_TRUST"  # names of functions, or of the modules that hold them, with commas
NONE = "none"  # among these: runs of the user's are not trusted by their tags either
Trusts = Callable[[str], bool]  # whether a name ``package.module:function`` may be imported


class Foreign(str):
    """A name of a function that came from a file, and is not trusted."""

    __slots__ = ()


def words(more: str = "") -> list[str]:
    """What the environment variable names, and ``more`` of that kind."""
    text = f"{os.environ.get(VARIABLE, '')},{more}"
    return [word.strip() for word in text.split(",") if word.strip()]


def named(more: str = "") -> Trusts:
    """Trusts the functions that are named, those of modules that are, and of modules below."""
    known = words(more)

    def trusts(name: str) -> bool:
        module = name.partition(":")[0]
        return any(word in (name, module) or module.startswith(f"{word}.") for word in known)

    return trusts


def allow(*more: str | None) -> None:
    """Trust these names in this process, and in those that it starts, as the variable does."""
    if names := ",".join(one for one in more if one):
        os.environ[VARIABLE] = ",".join(dict.fromkeys(words(names)))


def from_file(name: Any, trusts: Trusts) -> Any:
    """A name as a file gave it: marked where it is of a function that is not trusted."""
    if not isinstance(name, str) or ":" not in name or trusts(name):
        return name
    return Foreign(name)


def check(kind: str, name: str) -> None:
    """Refuse a marked name; ``kind`` is what it is to make: ``arch``, ``dataset``.

    UserError that says how to trust it.
    """
    if isinstance(name, Foreign):
        module = name.partition(":")[0]
        raise UserError(
            f"{kind}={name} stands in a file, and importing it would run its code; if you trust "
            f"that, give trust={module}, or set {VARIABLE}={module}"
        )
