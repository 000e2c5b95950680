"""The cache of decoded archives."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from mu.readers.arrays import read_npy


def cache_folder() -> Path:
    """Where decoded archives are kept: ``$MU_CACHE``, by default ``~/.cache/mu``."""
    return Path(os.environ.get("MU_CACHE") or Path.home() / ".cache" / "mu")


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_cached(path: Path) -> np.ndarray | None:
    """The cached array, or None where there is none that can be read (it is then rebuilt)."""
    try:
        return read_npy(path) if path.is_file() else None
    except (OSError, ValueError):
        return None


def store_cached(path: Path, array: np.ndarray) -> None:
    """Write under a temporary name and rename, so that no reader sees half a file."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        temporary.replace(path)
    except OSError:  # a cache that cannot be written costs time, not correctness
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
