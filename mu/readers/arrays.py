"""npy and npz, without objects."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

LARGEST = 2 * 2**30  # bytes of all arrays of an npz; a few megabytes can claim to unpack to more
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npy(source: bytes | Path) -> NDArray[Any]:
    """The array of an npy file; a ValueError if it is damaged, or holds objects."""
    try:
        with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as file:
            return _array(file)
    except Exception as error:  # a header is parsed as Python, and raises what Python's parser does
        raise ValueError(_reason(error)) from error


def _array(file: IO[bytes]) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers that Python 2 wrote
        shape, _, dtype = _HEADERS[npy.read_magic(file)](file)
        start = file.tell()
        left = file.seek(0, io.SEEK_END) - start
        if math.prod(shape) * dtype.itemsize != left:
            raise ValueError(f"{left} bytes do not hold {dtype} of shape {shape}")
        file.seek(0)
        array: NDArray[Any] = np.load(file, allow_pickle=False)
    return array


def read_npz(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file by name; a ValueError if it is damaged, or holds objects."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if (total := sum(one.file_size for one in members)) > LARGEST:
                raise ValueError(f"its arrays would take {total:,} bytes")
            return {
                one.filename.removesuffix(".npy"): read_npy(archive.read(one)) for one in members
            }
    except Exception as error:  # zipfile raises a dozen kinds where an archive is damaged
        raise ValueError(_reason(error)) from error


def _reason(error: Exception) -> str:
    return str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
