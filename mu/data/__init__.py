"""Data: named data sets, seeded splits, forget sets and on-device batches.

A data set is a small file with a function ``read``; adding one takes that file and a line here.
``package.module:function`` is the user's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mu.custom import check_name
from mu.errors import UserError
from mu.hyperparameters import LARGEST_SIDE
from mu.readers.paths import checked_path
from mu.registry import load

if TYPE_CHECKING:
    from mu.data.images import ImageDataset


@dataclass(frozen=True)
class Source:
    """How a named data set is read, and the defaults that suit it."""

    # Called with ``(data_dir, image_size)``; returns the data set.
    read: Callable[..., ImageDataset]
    arch: str = "resnet18"  # default architecture
    # Defaults of the training recipe that differ from the general ones.
    training: Mapping[str, Any] = field(default_factory=dict)
    resizes: bool = False  # whether ``image_size`` has a meaning for it
    # Whether its images can be decoded as they are needed. ``read`` is then called with two more:
    # whether they are (None: where they do not fit in memory), and by how many workers.
    streams: bool = False


def in_module(module: str, read: str = "read", **defaults: Any) -> Source:
    """The source whose function ``read`` a module has; it is imported when that is called."""
    return Source(partial(called, f"{module}:{read}"), **defaults)


def called(path: str, *arguments: Any) -> Any:
    """What the function at an import path returns."""
    return load(path)(*arguments)


DEFAULT_DATASET = "digits"
COPIES = ("forget", "keep")  # what may become of exact copies of forgotten files
IN_FILES = ("indices", "files")  # kinds of forget sets that are lists in files of their own
DIGITS = {"epochs": 20, "batch_size": 64, "lr": 0.1, "schedule": "one_cycle", "augment": "none"}
# Of each data set: the file that reads it, and the defaults that suit it.
_published = partial(in_module, "mu.data.torchvision_sets")
DATASETS = {
    "digits": in_module("mu.data.digits", arch="resnet_mini", training=DIGITS),
    "cifar10": _published("cifar10"),
    "cifar10_jpeg": in_module("mu.data.cifar10_jpeg"),
    "cifar100": _published("cifar100"),
    # A mirrored digit is none, and those of MNIST are centred by their mass already.
    "mnist": _published("mnist", arch="resnet20", training={"augment": "none"}),
    "fashion_mnist": _published("fashion_mnist", arch="resnet20", training={"augment": "none"}),
    # The label is of the digit in the middle, with its neighbours in the image: a shifted crop
    # would blur which one is meant.
    "svhn": _published("svhn", training={"augment": "none"}),
    "stl10": _published("stl10"),
    # A mirrored sign is another one: keep left, keep right.
    "gtsrb": _published("gtsrb", training={"augment": "crop"}, resizes=True),
    "flowers102": _published("flowers102", resizes=True),
    "oxford_pets": _published("oxford_pets", resizes=True),
    "tiny_imagenet": in_module("mu.data.tiny_imagenet"),
    "imagenet": in_module(
        "mu.data.imagefolder",
        "imagenet",
        training={"epochs": 90, "weight_decay": 1e-4},
        resizes=True,
        streams=True,
    ),
    "imagefolder": in_module(
        "mu.data.imagefolder", training={"epochs": 60}, resizes=True, streams=True
    ),
    "lmdb": in_module("mu.data.lmdb_file", resizes=True, streams=True),
}


def check_dataset(name: str) -> str:
    """The registered spelling of ``name``, or the user's own, of which the form is checked.

    UserError if there is no such name; the message gives the nearest one.
    """
    return check_name("dataset", name, DATASETS)


def source(name: str) -> Source:
    """The reader and the defaults of the data set ``name``."""
    if (known := check_dataset(name)) in DATASETS:
        return DATASETS[known]
    return Source(partial(called, "mu.data.custom:read", known), resizes=True)


def load_data(
    name: str,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    *,
    stream: bool | None = None,
    workers: int | None = None,
) -> ImageDataset:
    """Load the data set ``name``.

    UserError if the name is unknown, or files are missing or damaged.

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
    """
    folder = None if data_dir is None else checked_path("data_dir", data_dir).absolute()
    if image_size is not None and not 1 <= image_size <= LARGEST_SIDE:
        raise UserError(f"image_size={image_size}: must be at least 1 and at most {LARGEST_SIDE}")
    if folder is not None and not folder.exists():
        raise UserError(f"data_dir {str(folder)!r} does not exist; name the place of the data")
    found = source(name)
    if image_size is not None and not found.resizes:
        raise UserError(
            f"image_size={image_size}: the images of {name} have one size; leave it out"
        )
    if not found.streams:
        if stream:
            raise UserError(f"stream=True: the images of {name} lie in memory; leave it out")
        return found.read(folder, image_size)
    from mu.distributed.place import usable_cores

    return found.read(folder, image_size, stream, usable_cores() if workers is None else workers)
