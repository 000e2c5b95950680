"""Data: named data sets, seeded splits, forget sets and on-device batches.

A data set is a small file with a ``SOURCE``; adding one takes that file and a line here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mu import registry
from mu.errors import UserError

if TYPE_CHECKING:
    from mu.data.images import ImageDataset, Source

DEFAULT_DATASET = "digits"
DATASETS = {
    "digits": "mu.data.digits:SOURCE",
    "cifar10": "mu.data.cifar10:SOURCE",
    "cifar10_jpeg": "mu.data.cifar10_jpeg:SOURCE",
    "fashion_mnist": "mu.data.fashion_mnist:SOURCE",
    "imagefolder": "mu.data.imagefolder:SOURCE",
}


def check_dataset(name: str) -> str:
    """The registered spelling of ``name``, or a :class:`UserError` with the nearest ones."""
    return registry.canonical("dataset", name, DATASETS)


def source(name: str) -> Source:
    """The reader and the defaults of the data set ``name``."""
    found: Source = registry.load(DATASETS[check_dataset(name)])
    return found


def load_data(
    name: str, data_dir: str | Path | None = None, image_size: int | None = None
) -> ImageDataset:
    """Load the data set ``name``.

    Parameters
    ----------
    data_dir
        Where its files lie; not needed for ``digits``.
    image_size
        Height and width to which ``imagefolder`` brings its images.

    Raises
    ------
    UserError
        If the name is unknown, or files are missing or damaged.
    """
    folder = None if data_dir is None else Path(data_dir).expanduser().absolute()
    if folder is not None and not folder.exists():
        raise UserError(f"data_dir {str(folder)!r} does not exist; name the place of the data")
    found = source(name)
    if image_size is not None and not found.resizes:
        raise UserError(
            f"image_size={image_size}: the images of {name} have one size; leave it out"
        )
    return found.read(folder, image_size)
