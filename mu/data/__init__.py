"""Data: named data sets, seeded splits, forget sets and on-device batches.

A data set is a small file with a ``SOURCE``; adding one takes that file and a line here.
``package.module:function`` is the user's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mu import registry
from mu.errors import UserError
from mu.own import check_name

if TYPE_CHECKING:
    from mu.data.images import ImageDataset, Source

DEFAULT_DATASET = "digits"
DATASETS = {
    "digits": "mu.data.digits:SOURCE",
    "cifar10": "mu.data.cifar10:SOURCE",
    "cifar10_jpeg": "mu.data.cifar10_jpeg:SOURCE",
    "cifar100": "mu.data.cifar100:SOURCE",
    "mnist": "mu.data.mnist:SOURCE",
    "fashion_mnist": "mu.data.fashion_mnist:SOURCE",
    "svhn": "mu.data.svhn:SOURCE",
    "stl10": "mu.data.stl10:SOURCE",
    "gtsrb": "mu.data.gtsrb:SOURCE",
    "flowers102": "mu.data.flowers102:SOURCE",
    "oxford_pets": "mu.data.oxford_pets:SOURCE",
    "tiny_imagenet": "mu.data.tiny_imagenet:SOURCE",
    "imagenet": "mu.data.imagenet:SOURCE",
    "imagefolder": "mu.data.imagefolder:SOURCE",
    "lmdb": "mu.data.lmdb_file:SOURCE",
}


def check_dataset(name: str) -> str:
    """The registered spelling of ``name``, or the user's own, of which the form is checked.

    Raises
    ------
    UserError
        If there is no such name; the message gives the nearest ones.
    """
    return check_name("dataset", name, DATASETS)


def source(name: str) -> Source:
    """The reader and the defaults of the data set ``name``."""
    if (known := check_dataset(name)) in DATASETS:
        found: Source = registry.load(DATASETS[known])
    else:
        found = registry.load("mu.data.own:own")(known)
    return found


def load_data(
    name: str,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    *,
    stream: bool | None = None,
    workers: int | None = None,
) -> ImageDataset:
    """Load the data set ``name``.

    Parameters
    ----------
    data_dir
        Where its files lie; not needed for ``digits``.
    image_size
        Height and width to which images are brought, of sets whose images differ in size.
    stream
        Whether images are decoded as they are needed; by default where they do not fit in memory.
    workers
        Processes that decode streamed images; by default one for each core.

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
    if found.stream is None:
        if stream:
            raise UserError(f"stream=True: the images of {name} lie in memory; leave it out")
        return found.read(folder, image_size)
    if stream or (stream is None and found.too_large(folder, image_size)):
        from mu.data.streaming import default_workers

        count = default_workers() if workers is None else workers
        return found.stream(folder, image_size, count)
    return found.read(folder, image_size)
