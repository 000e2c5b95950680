"""Any folder (or tar) of class folders: ``train/<class>/*`` with ``test/`` or ``val/`` beside.

Without such parts, the class folders lie in the root itself, and every fifth image of a class,
in the order of file names, belongs to the test set. Files are numbered class by class, sorted.
"""

from __future__ import annotations

from pathlib import Path

from mu.data.image_files import ImageTree, Sample, classes_of, common_size, decode, samples_of
from mu.data.images import ImageDataset, Source, channel_statistics
from mu.errors import UserError

HOLD_OUT = 5
MEMORY_LIMIT = 8 * 2**30


def read(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Load the folder; images become RGB squares of ``image_size`` (default: their own, or 64)."""
    if data_dir is None:
        raise UserError("dataset=imagefolder needs data_dir: a folder of class folders")
    tree = ImageTree(data_dir)
    classes, train, test = _parts(tree)
    size = image_size or common_size(tree, train + test)
    if (len(train) + len(test)) * 3 * size**2 > MEMORY_LIMIT:
        raise UserError(f"the images of {str(data_dir)!r} at {size} pixels exceed 8 GiB; "
                        "choose a smaller image_size")  # fmt: skip
    images = decode(tree, train, size)
    mean, std = channel_statistics(images)
    return ImageDataset(
        "imagefolder",
        images,
        decode(tree, test, size),
        tuple(classes),
        mean,
        std,
        data_dir=str(data_dir),
        image_size=size,
    )


def _parts(tree: ImageTree) -> tuple[list[str], list[Sample], list[Sample]]:
    """Classes, training samples and test samples."""
    if classes := classes_of(tree, "train"):
        held = [part for part in ("test", "val") if classes_of(tree, part)]
        if not held:
            raise UserError(f"{str(tree.root)!r} has train/ but neither test/ nor val/ beside it")
        if extra := set(classes_of(tree, held[0])) - set(classes):
            raise UserError(f"{held[0]}/ has classes that train/ lacks: {', '.join(sorted(extra))}")
        return classes, samples_of(tree, "train", classes), samples_of(tree, held[0], classes)
    classes = classes_of(tree, "")
    if len(classes) < 2:
        raise UserError(f"{str(tree.root)!r} holds no class folders with images, or only one")
    train: list[Sample] = []
    test: list[Sample] = []
    seen = dict.fromkeys(range(len(classes)), 0)
    for sample in samples_of(tree, "", classes):
        seen[sample[1]] += 1
        (test if seen[sample[1]] % HOLD_OUT == 0 else train).append(sample)
    return classes, train, test


SOURCE = Source(read, arch="resnet18", training={"epochs": 60}, resizes=True)
