"""Building a file of images: on all cores, resumable, and whole or not there at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import lmdb
import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from mu.data.store.card import Card, Gathered
from mu.data.store.reader import digest_file, digest_of_file
from mu.data.store.records import META_KEY, PARTS, header, image_key, labels_key, pack
from mu.errors import UserError

FIRST_MAP = 2**28
CHUNK = 256  # images a transaction
_PROGRESS_KEY = b"progress"
_STAMP = b"stamp/"

Place = tuple[str, int]  # part and sample number
Encoded = tuple[Place, bytes]


@dataclass(frozen=True)
class Contents:
    """What goes into a file of images.

    Parameters
    ----------
    name, source, channels
        For its card.
    labels
        Labels by part, int64 of shape (n,).
    fingerprint
        Of everything that decides what goes where: an interrupted build goes on only with the
        same.
    read
        Gives the encoded bytes of the places asked for, in any order.
    stamp_of
        Tells whether the image of a place has changed since it was written.
    name_of
        What a place is called, where its image is damaged.
    """

    name: str
    source: str
    classes: tuple[str, ...]
    labels: dict[str, NDArray[np.int64]]
    fingerprint: str
    read: Callable[[set[Place]], Iterator[Encoded]]
    stamp_of: Callable[[Place], str] = lambda _: ""
    name_of: Callable[[Place], str] = lambda place: f"{place[0]} image {place[1]}"
    channels: int = 3

    def places(self) -> set[Place]:
        """All of them."""
        return {(part, n) for part, labels in self.labels.items() for n in range(len(labels))}


def build(
    contents: Contents,
    out: Path,
    decode: Callable[[str, bytes], NDArray[np.uint8]],
    *,
    map_size: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Card:
    """Write ``out`` and the digest beside it; an interrupted build goes on where it was.

    Until the end everything is in ``out.part``; then the file is written compact under another
    name, its digest beside it, and renamed.

    Parameters
    ----------
    decode
        Called with a name and encoded bytes; gives RGB pixels of shape (height, width, 3), and
        raises :class:`UserError` where the image is damaged.
    map_size
        Largest size of the file in bytes; by default it grows as needed.
    advance
        Called with the number of images that were written.

    Raises
    ------
    UserError
        If ``out`` is there already, another process is building it, an image is damaged, or the
        disk or ``map_size`` is too small. What was written so far is kept.
    """
    if out.exists():
        raise UserError(f"{str(out)!r} is there already; verify it, or name another file")
    lock = FileLock(out.with_name(out.name + ".lock"))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        Path(lock.lock_file).touch()  # says at once where no file can be made
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"another process is building {str(out)!r}; wait for it") from None
    except OSError as error:
        raise UserError(
            f"{str(out)!r} cannot be written ({error}); name a file in a folder that can"
        ) from error
    try:
        part = out.with_name(out.name + ".part")
        with _telling_what_is_kept(part), _Growing(part, map_size) as growing:
            gathered = _fill(growing, contents, decode, advance)
            card = _finish(growing, contents, gathered, out)
        part.unlink()
        part.with_name(part.name + "-lock").unlink(missing_ok=True)
        return card
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


class _Growing:
    """An LMDB file whose map grows as it fills."""

    def __init__(self, path: Path, most: int | None) -> None:
        self.path, self._most = path, most
        size = max(FIRST_MAP, path.stat().st_size if path.is_file() else 0)
        self.env = lmdb.open(
            str(path), subdir=False, map_size=size if most is None else most, max_readers=8
        )

    def __enter__(self) -> _Growing:
        return self

    def __exit__(self, *_: object) -> None:
        self.env.close()

    def write(self, values: Sequence[tuple[bytes, bytes]], without: Iterable[bytes] = ()) -> None:
        """Write all of the values and delete all keys ``without``, or none of them."""
        gone = list(without)
        while True:
            try:
                with self.env.begin(write=True) as writing:
                    for key, value in values:
                        writing.put(key, value)
                    for key in gone:
                        writing.delete(key)
                return
            except lmdb.MapFullError:
                if self._most is not None:
                    raise UserError(
                        f"map_size={self._most} bytes are too few for these images; give more, or "
                        "leave it out"
                    ) from None
                self.env.set_mapsize(2 * self.env.info()["map_size"])


@contextlib.contextmanager
def _telling_what_is_kept(part: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, lmdb.Error) as error:
        raise UserError(
            f"{str(part)!r} could not be written ({error}); what is in it is kept: make room and "
            "say the same again"
        ) from error


def _fill(
    growing: _Growing,
    contents: Contents,
    decode: Callable[[str, bytes], NDArray[np.uint8]],
    advance: Callable[[int], None],
) -> dict[str, Gathered]:
    """Write what is missing, a chunk of images at a time, with the sums over all so far."""
    gathered, missing = _begin(growing, contents)
    advance(sum(len(labels) for labels in contents.labels.values()) - len(missing))

    def looked_at(one: Encoded) -> tuple[Encoded, NDArray[np.uint8]]:
        place, content = one
        return one, decode(contents.name_of(place), content)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for chunk in _chunks(contents.read(missing)):
            values = []
            for ((part, number), content), pixels in pool.map(looked_at, chunk):
                label = int(contents.labels[part][number])
                key = image_key(part, number)
                values.append((key, pack(label, content)))
                values.append((_STAMP + key, contents.stamp_of((part, number)).encode()))
                gathered[part].add(pixels, len(content))
            growing.write([*values, (_PROGRESS_KEY, _progress(contents, gathered))])
            advance(len(chunk))
    return gathered


def _begin(growing: _Growing, contents: Contents) -> tuple[dict[str, Gathered], set[Place]]:
    """What an interrupted build had gathered, and which places are missing."""
    with growing.env.begin() as reading:
        kept = reading.get(_PROGRESS_KEY)
        there = {place for place in contents.places() if reading.get(image_key(*place))}
        stamps = {place: bytes(reading.get(_STAMP + image_key(*place)) or b"") for place in there}
    if kept is None:
        return {part: Gathered() for part in PARTS}, contents.places()
    document = json.loads(kept)
    if document["fingerprint"] != contents.fingerprint:
        raise UserError(
            f"{str(growing.path)!r} is of an interrupted build from something else, or the source "
            "has changed since; remove it"
        )
    for place, stamp in sorted(stamps.items()):
        if stamp != contents.stamp_of(place).encode():
            raise UserError(
                f"{contents.name_of(place)} has changed since an interrupted build wrote it to "
                f"{str(growing.path)!r}; remove that, and build anew"
            )
    gathered = {part: Gathered.from_dict(document["gathered"][part]) for part in PARTS}
    return gathered, contents.places() - there


def _progress(contents: Contents, gathered: dict[str, Gathered]) -> bytes:
    sums = {part: one.as_dict() for part, one in gathered.items()}
    return json.dumps({"fingerprint": contents.fingerprint, "gathered": sums}).encode()


def _chunks(images: Iterable[Encoded]) -> Iterator[list[Encoded]]:
    waiting = iter(images)
    while chunk := list(islice(waiting, CHUNK)):
        yield chunk


def _finish(
    growing: _Growing, contents: Contents, gathered: dict[str, Gathered], out: Path
) -> Card:
    """Write labels and card, and the whole of it compact under its own name."""
    whole = gathered["train"].merged(gathered["test"])
    assert whole.smallest is not None
    assert whole.largest is not None
    counts = {
        part: np.bincount(labels, minlength=len(contents.classes)).tolist()
        for part, labels in contents.labels.items()
    }
    card = Card(
        contents.name,
        contents.source,
        contents.classes,
        counts,
        gathered["train"].mean()[: contents.channels],
        gathered["train"].std()[: contents.channels],
        whole.smallest,
        whole.largest,
        whole.encoded,
        _contents_digest(growing, contents),
        contents.channels,
    )
    labels = [
        (labels_key(part), np.asarray(numbers, "<i8").tobytes())
        for part, numbers in contents.labels.items()
    ]
    growing.write(
        [*labels, (META_KEY, json.dumps(card.as_dict()).encode())],
        # Of a million images this takes room, too: pages are copied before they change.
        without=[
            _PROGRESS_KEY,
            *(_STAMP + image_key(*place) for place in sorted(contents.places())),
        ],
    )
    temporary = out.with_name(out.name + ".tmp")
    temporary.unlink(missing_ok=True)
    growing.env.sync(True)
    with temporary.open("wb") as file:
        growing.env.copyfd(file.fileno(), compact=True)
        os.fsync(file.fileno())
    beside = digest_file(out)
    text = beside.with_name(beside.name + ".tmp")
    text.write_text(f"{digest_of_file(temporary)}  {out.name}\n")
    text.replace(beside)
    temporary.replace(out)
    return card


def _contents_digest(growing: _Growing, contents: Contents) -> str:
    """sha256 (hex) of the headers of all images, in the order of their numbers."""
    seen = hashlib.sha256()
    with growing.env.begin(buffers=True) as reading:
        for part, labels in contents.labels.items():
            seen.update(f"{part} {len(labels)}\n".encode())
            for number in range(len(labels)):
                seen.update(header(reading.get(image_key(part, number)) or b""))
    return seen.hexdigest()
