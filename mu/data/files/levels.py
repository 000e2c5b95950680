"""A folder of a tree of images as a reader sees it, and what the names of its folders mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ROLES = {
    "train": "train", "training": "train", "trainset": "train", "trainval": "train",
    "test": "test", "testing": "test", "testset": "test", "eval": "test", "evaluation": "test",
    "val": "val", "valid": "val", "validation": "val", "validating": "val", "valset": "val",
    "dev": "val",
    "pred": "unlabelled", "predict": "unlabelled", "prediction": "unlabelled",
    "unlabeled": "unlabelled", "unlabelled": "unlabelled",
}  # fmt: skip
# Other words in the names of parts: seg_train, Final_Training, test_set, "Training images".
AROUND = {"seg", "final", "set", "data", "dataset", "image", "images", "img", "imgs", "split"}
CONTAINERS = {"image", "images", "img", "imgs", "jpg", "jpegimages", "data", "pictures", "photos"}
WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[^\W\d_]+")


@dataclass(frozen=True)
class Level:
    """A folder: its images that lie in it directly, and those below its folders, by folder."""

    path: str
    loose: list[str]
    folders: Mapping[str, list[str]]

    @classmethod
    def of(cls, path: str, names: Iterable[str]) -> Level:
        """The folder ``path`` (``""`` for the root); the order of ``names`` is kept in folders."""
        prefix = f"{path}/" if path else ""
        loose: list[str] = []
        folders: dict[str, list[str]] = {}
        for name in names:
            if name.startswith(prefix):
                folder, inside, _ = name[len(prefix) :].partition("/")
                (folders.setdefault(folder, []) if inside else loose).append(name)
        return cls(path, loose, dict(sorted(folders.items())))

    def where(self, folder: str) -> str:
        """The path of one of its folders."""
        return f"{self.path}/{folder}" if self.path else folder

    def below(self, folder: str) -> Level:
        """One of its folders."""
        return Level.of(self.where(folder), self.folders[folder])

    @property
    def flat(self) -> bool:
        """Whether most of its images lie in no folder."""
        return len(self.loose) > sum(map(len, self.folders.values()))

    @property
    def roles(self) -> dict[str, str]:
        """Which of its folders are parts: ``train``, ``test``, ``val`` or ``unlabelled``.

        A word that is no usual one counts where it is in the names of several parts: cars_train
        and cars_test.
        """
        parsed = {folder: found for folder in self.folders if (found := _parsed(folder))}
        usual = {folder: role for folder, (role, rest) in parsed.items() if not rest}
        if holds_parts(usual.values()):
            return usual
        alike: dict[str, str] = {}
        for rest in {rest for _, rest in parsed.values()}:
            same = {folder: role for folder, (role, other) in parsed.items() if other == rest}
            alike |= same if holds_parts(same.values()) else {}
        return dict(sorted(alike.items())) or usual

    @property
    def divided(self) -> bool:
        """Whether there are a training part and one to test with."""
        return holds_parts(self.roles.values())


def holds_parts(roles: Iterable[str]) -> bool:
    """Whether there are a training part and one to test with."""
    found = set(roles)
    return "train" in found and bool(found & {"test", "val"})


def role_of(folder: str) -> str | None:
    """The part that a folder's name stands for."""
    found = _parsed(folder)
    return found[0] if found and not found[1] else None


def _parsed(folder: str) -> tuple[str, tuple[str, ...]] | None:
    """The part that a name stands for, and the words in it that are not usual in such names."""
    words = [word.lower() for word in WORDS.findall(folder)]
    roles = [ROLES[word] for word in words if word in ROLES]
    if len(roles) != 1 and roles != ["train", "val"]:
        return None
    return roles[0], tuple(word for word in words if word not in ROLES and word not in AROUND)
