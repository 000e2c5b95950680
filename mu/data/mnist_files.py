"""The four files of MNIST, and of the sets made in its likeness, through torchvision."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mu.data.images import Images
from mu.data.published import Published
from mu.errors import UserError

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def read_parts(kind: Callable[..., Any], place: Published) -> tuple[Images, Images]:
    """Training and test images of torchvision's ``kind``.

    The folder is torchvision's, or one of the four published files, gzipped or not.
    """
    with tempfile.TemporaryDirectory() as scratch, place.reading():
        root = _as_torchvision(kind.__name__, place.folder, Path(scratch))
        train, test = (place.open(kind, root, train=part) for part in (True, False))
        return _images(train), _images(test)


def _as_torchvision(name: str, folder: Path, scratch: Path) -> Path:
    """``folder`` itself, or a scratch copy in torchvision's layout of the published files."""
    found = [next(folder.glob(f"{name}*"), None) for name in FILES]
    if any(path is None for path in found):
        return folder
    raw = scratch / name / "raw"
    raw.mkdir(parents=True)
    for name, path in zip(FILES, found, strict=True):
        assert path is not None
        opener = gzip.open if path.suffix == ".gz" else open
        try:
            with opener(path, "rb") as source, (raw / name).open("wb") as target:
                shutil.copyfileobj(source, target)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{str(path)!r} is damaged: {error}") from error
    return scratch


def _images(part: Any) -> Images:
    return Images(part.data[:, None].contiguous(), part.targets.long())
