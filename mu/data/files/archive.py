"""What a tar or zip holds: its members as a file system in memory, in which links are resolved.

Nothing is unpacked, so no name can lead out of anything: members and links that try are named and
left out.
"""

from __future__ import annotations

import posixpath
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mu.data.files.folder import Entry, Kind, check_size
from mu.data.files.members import Member, members
from mu.data.files.names import is_image
from mu.errors import UserError

LINKS = 40  # in one path; as many as Linux follows
# Archives of images shrink little. Larger ones than a GiB that shrink more than this are bombs.
RATIO, SLACK = 200, 2**30


@dataclass
class _Index:
    """Members by their cleaned paths.

    ``files`` gives a member's number in the archive: hard links share one. The children of every
    folder are in ``folders``.
    """

    files: dict[str, int] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    special: set[str] = field(default_factory=set)
    folders: dict[str, dict[str, None]] = field(default_factory=lambda: {"": {}})
    outside: list[str] = field(default_factory=list)

    def add(self, number: int, member: Member) -> None:
        """Take in the next member: it replaces what had its name, as unpacking does."""
        path = cleaned(member.name)
        if path is None:
            self.outside.append(member.name)
            return
        if member.kind == "folder":
            self._folder(path)
            return
        if not path or path in self.folders:
            return
        self._folder(posixpath.dirname(path))[posixpath.basename(path)] = None
        self.files.pop(path, None)
        self.links.pop(path, None)
        self.special.discard(path)
        if member.kind == "file":
            if is_image(path):
                check_size(path, member.size)
            self.files[path] = number
        elif member.kind == "link":
            self.links[path] = member.link
        elif member.kind == "hard link":
            self._hard(path, member.link)
        else:
            self.special.add(path)

    def _folder(self, path: str) -> dict[str, None]:
        """The children of a folder, which is made known to those above it."""
        children = self.folders.get(path)
        if children is None:
            children = self.folders[path] = {}
            self._folder(posixpath.dirname(path))[posixpath.basename(path)] = None
        return children

    def _hard(self, path: str, link: str) -> None:
        """A hard link is to the bytes; where they come later, or are a link, it is as a link is."""
        target = cleaned(link)
        if target in self.files and target is not None:
            self.files[path] = self.files[target]
        elif target is not None:
            self.links[path] = f"{'../' * path.count('/')}{target}"

    def resolve(self, path: str) -> str | Kind:
        """The path without links; or why there is none."""
        done: list[str] = []
        todo = path.split("/")[::-1]
        links = 0
        while todo:
            step = todo.pop()
            if step in ("", "."):
                continue
            if step == "..":
                if not done:
                    return Kind.OUTSIDE
                done.pop()
                continue
            here = "/".join([*done, step])
            if here in self.links and here not in self.folders:
                links += 1
                target = self.links[here]
                if target.startswith("/"):
                    return Kind.OUTSIDE
                if links > LINKS:
                    return Kind.NOWHERE
                todo += target.split("/")[::-1]
            else:
                done.append(step)
        return "/".join(done)

    def entry(self, path: str) -> Entry:
        """What the path stands for."""
        linked = path in self.links
        found = self.resolve(path)
        name = posixpath.basename(path)
        if isinstance(found, Kind):
            return Entry(name, found, None, linked)
        if found in self.folders:
            return Entry(name, Kind.FOLDER, found, linked)
        if found in self.files:
            return Entry(name, Kind.FILE, None, linked)
        return Entry(name, Kind.SPECIAL if found in self.special else Kind.NOWHERE, None, linked)


def cleaned(name: str) -> str | None:
    """A member's path as it would be unpacked; None where it leads out of the archive."""
    path = posixpath.normpath(name.lstrip("/")) if name.strip("/") else ""
    path = "" if path == "." else path
    return None if path.split("/")[0] == ".." else path


class Archive:
    """The files in a tar or zip.

    A :class:`mu.errors.UserError` says so, as soon as it is read, if ``root`` is neither.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def identity(self) -> Hashable:
        """Of the top folder."""
        return ""

    @property
    def outside(self) -> list[str]:
        """Names of members that lead out of the archive."""
        return self._index.outside

    def entries(self, folder: str) -> Iterator[Entry]:
        """The names in ``folder``, a path in the archive, links followed."""
        found = self._index.resolve(folder)
        for name in self._index.folders[found] if isinstance(found, str) else ():
            yield self._index.entry(f"{found}/{name}" if found else name)

    def read(self, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
        """Pairs of path and bytes, in the order of storage; of what is not there, nothing."""
        named: dict[int, list[str]] = {}
        for name in sorted(wanted):
            found = self._index.resolve(name)
            if isinstance(found, str) and found in self._index.files:
                named.setdefault(self._index.files[found], []).append(name)
        with members(self.root) as stored:
            for number, member in enumerate(stored):
                if names := named.get(number):
                    check_size(names[0], member.size)
                    content = member.read()
                    yield from ((name, content) for name in names)

    @cached_property
    def _index(self) -> _Index:
        index, total = _Index(), 0
        with members(self.root) as stored:
            most = RATIO * self.root.stat().st_size + SLACK
            for number, member in enumerate(stored):
                total += member.size
                if total > most:
                    raise UserError(
                        f"{str(self.root)!r} unpacks to over {RATIO} times its size, more than "
                        f"{most / 2**30:,.1f} GiB; name an archive of images with data_dir"
                    )
                index.add(number, member)
        return index
