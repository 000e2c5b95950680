"""What a file of images is built from: a folder, a tar, or a named data set."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mu.data.files.parts import listing_of
from mu.data.files.tree import ImageTree
from mu.data.images import ImageDataset, Images
from mu.data.store.card import Card
from mu.data.store.reader import header, pack
from mu.digests import digest_of
from mu.errors import UserError

Place = tuple[str, int]  # part and sample number
Encoded = tuple[Place, bytes]


@dataclass(frozen=True)
class Contents:
    """What goes into a file of images."""

    # name, source, channels: for its card.
    name: str
    source: str
    classes: tuple[str, ...]
    labels: dict[str, NDArray[np.int64]]  # labels by part, int64 of shape (n,)
    # Of everything that decides what goes where: an interrupted build goes on only with the same.
    fingerprint: str
    # Gives the encoded bytes of the places asked for, in any order.
    read: Callable[[set[Place]], Iterator[Encoded]]
    # Tells whether the image of a place has changed since it was written.
    stamp_of: Callable[[Place], str] = lambda _: ""
    # Names of the files that the images are, by part, in the order of sample numbers.
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # summary, left_out: which files were read, in words, and which were not, by the reason.
    summary: str = ""
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    channels: int = 3

    def name_of(self, place: Place) -> str:
        """What a place is called, where its image is damaged."""
        part, number = place
        return self.names[part][number] if self.names else f"{part} image {number}"

    def places(self) -> set[Place]:
        """All of them."""
        return {(part, n) for part, labels in self.labels.items() for n in range(len(labels))}

    def digest(self, header_of: Callable[[Place], bytes]) -> str:
        """sha256 (hex) of the headers of all images, in the order of their numbers."""
        seen = hashlib.sha256()
        for part, labels in self.labels.items():
            seen.update(f"{part} {len(labels)}\n".encode())
            for number in range(len(labels)):
                seen.update(header_of((part, number)))
        return seen.hexdigest()

    def fit(self, card: Card) -> bool:
        """Whether a card is of just these contents, which are all read, but not decoded."""
        sizes = {part: len(labels) for part, labels in self.labels.items()}
        if (card.classes, {part: card.size(part) for part in card.counts}) != (self.classes, sizes):
            return False
        headers = {
            place: header(pack(int(self.labels[place[0]][place[1]]), content))
            for place, content in self.read(self.places())
        }
        return card.contents == self.digest(headers.__getitem__)


def of_tree(root: Path) -> Contents:
    """The image files of a folder or archive, as they are: listed as ``imagefolder``'s."""
    tree = ImageTree(root)
    listing = listing_of(tree)
    samples = {"train": listing.train, "test": listing.test}
    names = {part: [path for path, _ in one] for part, one in samples.items()}
    places = {path: (part, n) for part, paths in names.items() for n, path in enumerate(paths)}

    def read(wanted: set[Place]) -> Iterator[Encoded]:
        missing = {names[part][number] for part, number in wanted}
        for name, content in tree.read(frozenset(missing)):
            if not content:
                raise UserError(f"{name} is empty; repair or remove it")
            missing.remove(name)
            yield places[name], content
        if missing:
            raise UserError(f"{str(root)!r} changed while it was read; say the same again")

    def stamp(place: Place) -> str:
        about = (root / names[place[0]][place[1]] if root.is_dir() else root).stat()
        return f"{about.st_size} {about.st_mtime_ns}"

    return Contents(
        root.name.split(".")[0],
        str(root),
        listing.classes,
        {part: np.array([n for _, n in one], np.int64) for part, one in samples.items()},
        digest_of(sorted(places.items())),
        read,
        stamp,
        names,
        str(listing),
        listing.skipped,
    )


def of_dataset(dataset: ImageDataset) -> Contents:
    """The images of a data set in memory, of 1 or 3 channels, as PNG, which loses nothing."""
    if not isinstance(dataset.train, Images) or not isinstance(dataset.test, Images):
        raise UserError(f"the images of {dataset.name} are streamed already")
    channels = dataset.shape[0]
    if channels not in (1, 3):
        raise UserError(f"{dataset.name} has images of {channels} channels; PNG takes 1 or 3")
    parts = {"train": dataset.train, "test": dataset.test}

    def read(wanted: set[Place]) -> Iterator[Encoded]:
        for part, number in sorted(wanted):
            pixels = parts[part].pixels[number].permute(1, 2, 0).numpy()
            image = Image.fromarray(pixels if channels == 3 else pixels[:, :, 0])
            file = io.BytesIO()
            image.save(file, "PNG")
            yield (part, number), file.getvalue()

    return Contents(
        dataset.name,
        f"{dataset.name}, fingerprint {dataset.fingerprint}",
        dataset.classes,
        {part: images.labels.numpy() for part, images in parts.items()},
        digest_of(dataset.fingerprint),
        read,
        channels=channels,
    )
