"""Tiny ImageNet, 200 classes of 64x64 RGB images: the published folder or zip.

Trained on ``train``; ``val``, in the order of its list, is the test set, as the published ``test``
has no labels. Classes go by their WordNet numbers (wnids), sorted, and training images are
numbered class by class, by file name (``_10`` before ``_2``).

References
----------
Le & Yang (2015), Tiny ImageNet Visual Recognition Challenge, CS 231N, Stanford.
"""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets.utils import download_url

from mu.data.files.parts import class_folders, labelled
from mu.data.files.tree import ImageTree
from mu.data.images import ImageDataset
from mu.data.published import Published

SIZE = 64
NAME = "tiny-imagenet-200"
URL = f"http://cs231n.stanford.edu/{NAME}.zip"
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
REMEDY = f"name the folder {NAME}, or its zip, with data_dir ({URL})"


def read(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Load from ``data_dir``: the published folder or zip, or a folder that holds one of them."""
    with Published.at(data_dir, "tiny_imagenet", "Tiny ImageNet", remedy=REMEDY) as place:
        tree = ImageTree(_find(place))
        top = f"{NAME}/" if any(name.startswith(f"{NAME}/") for name in tree.names) else ""
        lists = [f"{top}{name}" for name in ("wnids.txt", "words.txt", "val/val_annotations.txt")]
        found = dict(tree.read(lists))
        wnids, words, val = (found[name].decode().splitlines() for name in lists)
        wnids = sorted({line.strip() for line in wnids} - {""})
        train = labelled(class_folders(tree, f"{top}train"), wnids)
        # A line is a file name, a wnid, and a box that is not used here.
        rows = [line.split("\t") for line in val]
        test = [(f"{top}val/images/{name}", wnids.index(wnid)) for name, wnid, *_ in rows]
        place.check_counts(len(train), len(test))
        classes = _class_names(wnids, words)
        parts = [place.decode(tree, samples, SIZE) for samples in (train, test)]
        return place.of_files(parts, classes)


def _find(place: Published) -> Path:
    """The folder or archive itself; downloaded where there is none."""
    folder = place.folder
    if folder.is_file() or (folder / "wnids.txt").is_file():
        return folder
    if (folder / NAME).is_dir():
        return folder / NAME
    archive = folder / f"{NAME}.zip"
    if not archive.is_file():
        part = archive.with_suffix(".part")
        place.download(lambda: download_url(URL, folder, part.name, MD5))
        part.replace(archive)
    return archive


def _class_names(wnids: list[str], words: list[str]) -> list[str]:
    """The first word of each class, with the wnid where two classes have the same."""
    described = dict(line.split("\t", 1) for line in words)
    firsts = [described[wnid].partition(",")[0].strip() for wnid in wnids]
    return [
        f"{first} ({wnid})" if firsts.count(first) > 1 else first
        for first, wnid in zip(firsts, wnids, strict=True)
    ]
