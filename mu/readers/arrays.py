"""npy and npz, without objects."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

LARGEST = 4 * 2**30  # bytes of all arrays of an npz; a few megabytes can claim to unpack to more
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npy(content: bytes) -> NDArray[Any]:
    """The array of an npy file; a ValueError if it is damaged, or holds objects."""
    file = io.BytesIO(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            shape, fortran, dtype = _HEADERS[npy.read_magic(file)](file)
        left = len(content) - file.tell()
        if dtype.hasobject:
            raise ValueError("it holds objects, which are not unpickled")
        if math.prod(shape) * dtype.itemsize != left:
            raise ValueError(f"{left} bytes do not hold {dtype} of shape {shape}")
        array = np.frombuffer(content[file.tell() :], dtype) if left else np.empty(shape, dtype)
        return array.reshape(shape, order="F" if fortran else "C").copy()
    except Exception as error:  # a header is parsed as Python, and raises what Python's parser does
        raise ValueError(_reason(error)) from error


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
