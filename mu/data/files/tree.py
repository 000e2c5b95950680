"""All images below a folder or in an archive, and what else is there and why it is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mu.data.files.archive import Archive, cleaned
from mu.data.files.folder import Entry, Folder, Kind
from mu.data.files.names import FOREIGN, is_image, is_service, shown, suffix
from mu.errors import UserError

HIDDEN = "hidden or service files"
OTHER = "files that are no images"
UNDECODABLE = "images of formats that cannot be decoded"
LOOP = "links that lead back to a folder above"
_KINDS = {
    Kind.NOWHERE: "links that lead nowhere",
    Kind.OUTSIDE: "links that lead out of the archive",
    Kind.SPECIAL: "neither files nor folders",
}
MOST_TIMES = 100  # that one folder is listed, by different links
LOST = (_KINDS[Kind.NOWHERE], _KINDS[Kind.OUTSIDE])
OUTSIDE = "members that lead out of the archive"


@dataclass
class _Found:
    names: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, reason: str, path: str) -> None:
        self.skipped.setdefault(reason, []).append(path)


class ImageTree:
    """The files below a folder or inside a tar or zip, by relative path, links followed.

    A :class:`mu.errors.UserError` says so, as soon as it is read, if ``root`` is neither.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._storage: Folder | Archive = Folder(root) if root.is_dir() else Archive(root)

    @property
    def names(self) -> list[str]:
        """Paths of all images, sorted by folder, then by file name, as torchvision sorts them."""
        return self._found.names

    @property
    def folders(self) -> list[str]:
        """Paths of all folders that are neither hidden nor of a service, sorted."""
        return self._found.folders

    @property
    def skipped(self) -> dict[str, list[str]]:
        """Paths of what is left out, sorted, by the reason in plain words."""
        return self._found.skipped

    def read(self, wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Pairs of path and bytes for the ``wanted`` paths, in the order of storage.

        Of paths that are not there, or lead out of the tree, nothing comes.
        """
        yield from self._storage.read({name for name in wanted if cleaned(name) == name})

    @cached_property
    def _found(self) -> _Found:
        found = _Found()
        waiting: list[tuple[str, tuple[Hashable, ...], bool]] = [
            ("", (self._storage.identity(),), False)
        ]
        times = Counter[Hashable]()
        while waiting:
            folder, above, hidden = waiting.pop()
            times[above[-1]] += 1
            if times[above[-1]] > MOST_TIMES:
                raise UserError(
                    f"{shown(folder)!r} in {str(self.root)!r} is reached by over {MOST_TIMES} "
                    "paths of links; remove links"
                )
            for entry in self._storage.entries(folder):
                path = f"{folder}/{entry.name}" if folder else entry.name
                concealed = hidden or is_service(entry.name)
                if entry.kind is not Kind.FOLDER:
                    _sort(found, path, entry, concealed, hidden)
                elif entry.identity in above:
                    found.skip(LOOP, path)
                elif not (concealed and entry.linked):
                    waiting.append((path, (*above, entry.identity), concealed))
                    if not concealed:
                        found.folders.append(path)
        if isinstance(self._storage, Archive):
            for path in self._storage.outside:
                found.skip(OUTSIDE, path)
        found.names.sort(key=lambda path: path.rpartition("/")[::2])
        found.folders.sort()
        found.skipped = {reason: sorted(found.skipped[reason]) for reason in sorted(found.skipped)}
        return found


def _sort(found: _Found, path: str, entry: Entry, concealed: bool, inside: bool) -> None:
    """Put a path where it belongs; ``inside`` a hidden folder, only images are named."""
    if concealed:
        if not inside or is_image(path):
            found.skip(HIDDEN, path)
    elif entry.kind is not Kind.FILE:
        found.skip(_KINDS[entry.kind], path)
    elif is_image(path):
        found.names.append(path)
    else:
        found.skip(UNDECODABLE if suffix(path) in FOREIGN else OTHER, path)
