"""Paths as they are typed, or stand in a file: refused where no system could have them."""

from __future__ import annotations

import os
from pathlib import Path

from mu.errors import UserError

LONGEST_NAME, LONGEST_PATH = 255, 4095  # bytes, on Linux


def checked_path(name: str, text: Path | str) -> Path:
    """The path, with ``~`` replaced; ``name`` is of the option.

    UserError if it is too long, holds what no path can, or is of an unknown user.
    """
    try:
        path = Path(text).expanduser()
        encoded = os.fsencode(path)
    except RuntimeError:
        raise UserError(f"{name}={str(text)!r}: there is no such home folder") from None
    except UnicodeEncodeError:
        raise UserError(f"{name}={str(text)!r} is no text that a path can be; rename it") from None
    if b"\0" in encoded:
        raise UserError(f"{name}={str(text)!r} holds a NUL, which no path does; correct it")
    longest = max(map(len, encoded.split(os.sep.encode())))
    if longest > LONGEST_NAME or len(encoded) > LONGEST_PATH:
        raise UserError(
            f"{name}={str(text)!r} is too long: a name has at most {LONGEST_NAME} bytes, a path "
            f"{LONGEST_PATH}"
        )
    return path
