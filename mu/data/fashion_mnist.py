"""Fashion-MNIST, 28x28 grey, through torchvision.

References
----------
Xiao, Rasul & Vollgraf (2017), Fashion-MNIST: a Novel Image Dataset, arXiv:1708.07747.
"""

from __future__ import annotations

import contextlib
import gzip
import shutil
import tempfile
import zlib
from pathlib import Path

from torchvision.datasets import FashionMNIST

from mu.data.images import ImageDataset, Images, Source
from mu.errors import UserError

MEAN, STD = (0.2860,), (0.3530,)
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
# Where Debian's package dataset-fashion-mnist puts the four gzip files.
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def read(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Load from ``data_dir``: torchvision's folder, or a folder of the four published files.

    Without ``data_dir``: Debian's package where it is installed, else a download.
    """
    folder = data_dir or (DEBIAN if DEBIAN.is_dir() else Path.home() / ".cache/mu/fashion_mnist")
    with tempfile.TemporaryDirectory() as scratch:
        root = _as_torchvision(folder, Path(scratch))
        train, test = (_part(root, folder, train=part) for part in (True, False))
    classes = tuple(FashionMNIST.classes)
    return ImageDataset("fashion_mnist", train, test, classes, MEAN, STD, data_dir=str(folder))


def _as_torchvision(folder: Path, scratch: Path) -> Path:
    """``folder`` itself, or a scratch copy in torchvision's layout of the published files."""
    found = [next(folder.glob(f"{name}*"), None) for name in FILES]
    if any(path is None for path in found):
        return folder
    raw = scratch / "FashionMNIST" / "raw"
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


def _part(root: Path, folder: Path, *, train: bool) -> Images:
    try:
        part = FashionMNIST(root, train=train, download=root == folder)
        return Images(part.data[:, None].contiguous(), part.targets.long())
    except (AssertionError, TypeError, ValueError) as error:
        raise UserError(
            f"the Fashion-MNIST files in {str(folder)!r} are damaged: {error}"
        ) from error
    except (OSError, RuntimeError) as error:
        for made in (root / "FashionMNIST" / "raw", root / "FashionMNIST"):
            with contextlib.suppress(OSError):  # torchvision's empty folders; others stay
                made.rmdir()
        raise UserError(
            f"Fashion-MNIST is neither in {str(folder)!r} nor can it be downloaded ({error}); "
            "name the folder of its four files with data_dir (Debian: dataset-fashion-mnist)"
        ) from error


SOURCE = Source(read, arch="resnet20", training={"augment": "none"})
