"""The one exception for a user's mistake: it becomes one line and exit status 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake of the user: the message names the value and the remedy, in one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class ProcessDiedError(UserError):
    """A process that did part of the work was ended from outside; the work can be gone on with."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """An error that names the nearest known spellings of a misspelt ``name``."""
    names = sorted(known)
    folded = {one.lower(): one for one in names}  # UAA is near to UA
    near = [folded[one] for one in difflib.get_close_matches(name.lower(), folded, 3, 0.5)]
    remedy = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return UserError(f"unknown {kind} {name!r}; {remedy}")
