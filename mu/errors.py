"""The one exception for a user's mistake: it becomes one line and exit status 2."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

# Likeness of spellings, 0-1: the least, of short names too, and how far others may be behind.
FARTHEST, FARTHEST_SHORT = 0.6, 0.5
SHORT = 3
SPREAD = 0.15
# What is said of a full disk, by whichever library.
FULL = ("No space left", "disk is full", "quota exceeded", "No usable temporary directory")


class UserError(Exception):
    """A mistake of the user: the message names the value and the remedy, in one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class ProcessDiedError(UserError):
    """A process that did part of the work was ended from outside; the work can be gone on with."""


def full_disk(error: BaseException | None) -> str | None:
    """What an error, or what it came from, says of a full disk; None where it is another one."""
    while error is not None:
        text = " ".join(str(error).split())
        known = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if known or any(words in text for words in FULL):
            return text[:300]
        error = error.__cause__ or error.__context__
    return None


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """An error that names the nearest known spellings of a misspelt ``name``."""
    names = sorted(known)
    near = nearest(name, names)
    remedy = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return UserError(f"unknown {kind} {name!r}; {remedy}")


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """At most three of the ``known`` spellings that are near to ``name``, the nearest first.

    Those that are clearly farther away than the nearest are left out.
    """
    folded = {one.lower(): one for one in known}  # UAA is near to UA
    least = FARTHEST_SHORT if len(name) <= SHORT else FARTHEST
    likeness = {
        one: difflib.SequenceMatcher(None, one, name.lower()).ratio()
        for one in difflib.get_close_matches(name.lower(), folded, 3, least)
    }
    best = max(likeness.values(), default=0.0)
    return [folded[one] for one, ratio in likeness.items() if ratio >= best - SPREAD]
