"""Images looked up by their names: a whole path, the end of one, or a pattern."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

_PATTERN = re.compile(r"[*?\[]")


class Names:
    """The names of some images by their numbers, ready for many questions.

    ``names``: paths inside the folder or archive ``root``.
    """

    def __init__(self, names: Sequence[str], root: str) -> None:
        self._names, self._root = names, root
        self._numbers = {name: number for number, name in enumerate(names)}
        self._by_last: dict[str, list[int]] = {}
        for number, name in enumerate(names):
            self._by_last.setdefault(_last(name), []).append(number)

    def called(self, text: str) -> list[int]:
        """The image with just this path; where there is none, all whose paths end with it.

        Or, where there is none of these either, the one whose path the text ends with.
        """
        text = relative(text, self._root)
        if text in self._numbers:
            return [self._numbers[text]]
        ending = f"/{text}"
        near = self._by_last.get(_last(text), [])
        if found := [number for number in near if self._names[number].endswith(ending)]:
            return found
        # A path from further up: photos/train/ants/1.jpg, where the folder is photos.
        return [number for number in near if ending.endswith(f"/{self._names[number]}")]

    def fitting(self, text: str) -> list[int]:
        """All images that a pattern with ``*``, ``?`` or ``[...]`` fits; none if it is none."""
        if not _PATTERN.search(text := relative(text, self._root)):
            return []
        return [
            number
            for name, number in self._numbers.items()
            if fnmatchcase(name, text) or fnmatchcase(name, f"*/{text}")
        ]


def relative(text: str, root: str) -> str:
    """A path below the root as a manifest has it: parts between slashes, without the root."""
    path = text.replace("\\", "/").removeprefix("./")
    return path.removeprefix(root.rstrip("/") + "/") if path.startswith("/") else path


def _last(path: str) -> str:
    return path.rpartition("/")[2]
