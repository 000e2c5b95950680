"""The one exception for a user's mistake: it becomes one line and exit status 2."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

# Likeness of spellings, 0-1: the least, and that of two short names.
FARTHEST, FARTHEST_SHORT = 0.6, 0.5
SHORT = 3
# Letters of a message, and of a text without spaces in it; the ends of what is longer are kept.
LONGEST_LINE, LONGEST_WORD = 2400, 200
# What is said of a full disk, by whichever library.
FULL = ("No space left", "disk is full", "quota exceeded", "No usable temporary directory")


class UserError(Exception):
    """A mistake of the user: the message names the value and the remedy, in one line."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    """``text`` in a line that a terminal can show: nothing unprintable, and not too long.

    Whatever a file or a command line held may stand in it. Of long texts the beginning is kept,
    which says what is wrong, and the end, which says what to do.
    """
    words = (_cut(word, LONGEST_WORD) for word in text.split())
    return _cut(" ".join(words), LONGEST_LINE)


def _cut(text: str, most: int) -> str:
    if len(text) > most:
        text = f"{text[: most * 3 // 4]}...{text[-most // 5 :]}"
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


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
    """An error that names the nearest known spelling of a misspelt ``name``, or else all."""
    names = sorted(known)
    near = nearest(name, names)
    remedy = f"did you mean {near}?" if near else f"known: {', '.join(names)}"
    return UserError(f"unknown {kind} {name!r}; {remedy}")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The nearest of the ``known`` spellings to ``name``; None where none is near."""
    folded = {one.lower(): one for one in known}  # UAA is near to UA
    found = difflib.get_close_matches(name.lower(), folded, 1, FARTHEST)
    if not found and len(name) <= SHORT:
        short = [one for one in folded if len(one) <= SHORT]
        found = difflib.get_close_matches(name.lower(), short, 1, FARTHEST_SHORT)
    return folded[found[0]] if found else None
