"""What was found to be the data set: classes, training and test images, and what is left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mu.data.files.names import shown, suffix
from mu.data.files.tree import OTHER, UNDECODABLE

Sample = tuple[str, int]  # path inside the tree, label
SHOWN_CLASSES = 10
PLURAL_NOUN = re.compile(r"\b(image|file|folder|link|member)s\b")
SINGULAR = {
    "that are no images": "that is no image",
    "that lead ": "that leads ",
    "that lie ": "that lies ",
}
BY_SUFFIX = (OTHER, UNDECODABLE)  # shown by their suffixes, not by an example


@dataclass(frozen=True)
class Listing:
    """The images of a data set."""

    classes: tuple[str, ...]  # their names, by label
    # train, test: path inside the tree and label of each image, in the order of sample numbers.
    train: list[Sample]
    test: list[Sample]
    skipped: Mapping[str, list[str]]  # paths of what is left out, by the reason in plain words
    # The folders that the training and test images lie in, ``""`` for the root; both are the same
    # where every fifth image of a class is for testing.
    places: tuple[str, str] = ("", "")

    def __str__(self) -> str:
        """What was read, in one or two sentences."""
        first, second = (f" in {shown(place)}/" if place else "" for place in self.places)
        if self.places[0] == self.places[1]:
            second = f"{first} (every fifth of a class)"
        names = [shown(name) for name in self.classes[:SHOWN_CLASSES]]
        names += ["..."] if len(self.classes) > SHOWN_CLASSES else []
        return (
            f"{counted(len(self.train), 'training images')}{first}, "
            f"{counted(len(self.test), 'test images')}{second}, "
            f"{len(self.classes)} classes: {', '.join(names)}"
            + (f"; left out: {left_out(self.skipped)}" if self.skipped else "")
        )


def left_out(skipped: Mapping[str, list[str]]) -> str:
    """How many paths are left out for which reason, with an example or the suffixes of each."""
    return ", ".join(
        f"{counted(len(paths), reason)} ({_examples(reason, paths)})"
        for reason, paths in skipped.items()
    )


def _examples(reason: str, paths: list[str]) -> str:
    if reason not in BY_SUFFIX:
        return shown(paths[0]) + (", ..." if len(paths) > 1 else "")
    return suffixes_of(paths)


def suffixes_of(paths: Iterable[str]) -> str:
    """The most frequent suffixes of these paths."""
    found = Counter(suffix(path) or "no suffix" for path in paths)
    most = [shown(name) for name, _ in found.most_common(4)]
    return ", ".join(most + ["..."] * (len(found) > len(most)))


def counted(count: int, things: str) -> str:
    """A number and what it counts, in the singular for one: ``1 link that leads nowhere``."""
    if count == 1:  # the first noun, and the verb of its clause
        things = PLURAL_NOUN.sub(r"\1", things, count=1)
        for plural, singular in SINGULAR.items():
            things = things.replace(plural, singular)
    return f"{count:,} {things}"
