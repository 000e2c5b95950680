"""Decoded archives in the cache."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import numpy as np

from mu.cache import cache_folder, write_cached
from mu.readers.arrays import read_npy


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached_file(name: str, digest: str, part: str) -> Path:
    """Where a part of a decoded archive is kept; ``digest``: sha256 (hex) of the archive."""
    return cache_folder() / f"{name}-{digest[:16]}-{part}.npy"


def cached_files(name: str) -> list[Path]:
    """What is kept of a data set's archives, of whatever digest."""
    return sorted(cache_folder().glob(f"{name}-*-*.npy"))


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
