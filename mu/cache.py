"""The cache of this machine: what is derived from other things, and can be derived again."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


def cache_folder() -> Path:
    """Where it is: ``$MU_CACHE``, by default ``~/.cache/mu``."""
    return Path(os.environ.get("MU_CACHE") or Path.home() / ".cache" / "mu")


def write_cached(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write under a temporary name and rename, so that no reader sees half a file.

    OSError if the file cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            write(file)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
