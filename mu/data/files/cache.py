"""Decoded archives in the cache."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import numpy as np

from mu.cache import write_cached
from mu.readers.arrays import read_npy


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
    """Keep the array; a cache that cannot be written costs time, not correctness."""
    with suppress(OSError):
        write_cached(path, lambda file: np.save(file, array, allow_pickle=False))
