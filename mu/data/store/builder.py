"""Building a file of images: on all cores, resumable, and whole or not there at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from mu.data.files.cache import file_digest
from mu.data.images import statistics_of
from mu.data.store.card import Card, Gathered
from mu.data.store.reader import (
    MAGIC,
    META_KEY,
    check_pages,
    digest_file,
    header,
    image_key,
    labels_key,
    names_key,
    pack,
    pack_names,
    unpack,
    verify,
)
from mu.errors import UserError
from mu.readers.documents import read_json

FIRST_MAP = 2**28
CHUNK = 256  # images a transaction
_PROGRESS_KEY = b"progress/2"  # 2: where an earlier mu was interrupted, all is built anew
_STAMP = b"stamp/"

Place = tuple[str, int]  # part and sample number
Encoded = tuple[Place, bytes]
Decode = Callable[[str, bytes], NDArray[np.uint8]]
Write = Callable[[Sequence[tuple[bytes, bytes | None]]], None]


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


def build(
    contents: Contents,
    out: Path,
    decode: Decode,
    *,
    map_size: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Card:
    """Write ``out`` and the digest beside it; an interrupted build goes on where it was.

    One that was interrupted when ``out`` was complete, or was not interrupted at all, is done; one
    that was when all was written, but ``out`` not there yet, decodes nothing again.
    Until the end everything is in ``out.part``; then the file is written compact under another
    name, its digest beside it, and renamed. UserError if ``out`` is there already and holds
    something else, another process is building it, an image is damaged, or the disk or ``map_size``
    is too small. What was written so far is kept.

    Parameters
    ----------
    decode
        Called with a name and encoded bytes; gives RGB pixels of shape (height, width, 3), and
        raises :class:`UserError` where the image is damaged.
    map_size
        Largest size of the file in bytes; by default it grows as needed.
    advance
        Called with the number of images that were written.
    """
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
    part = out.with_name(out.name + ".part")
    try:
        if out.exists():
            card = _there(contents, out)
            _remove(part)
            return card
        _remove_damaged(part)
        size = max(FIRST_MAP, part.stat().st_size if part.is_file() else 0)
        with lmdb.open(str(part), subdir=False, map_size=map_size or size, max_readers=8) as env:
            card = _written(env, contents)
            if card is None:
                write = partial(_write, env, map_size)
                card = _card(env, contents, _fill(env, write, contents, decode, advance))
                _complete(env, write, contents, card)
            _publish(env, out)
        _remove(part)
        return card
    except (OSError, lmdb.Error) as error:
        raise UserError(
            f"{str(part)!r} could not be written ({error}); what is in it is kept: make room and "
            "say the same again"
        ) from error
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _remove_damaged(part: Path) -> None:
    """Remove what an interrupted build left, if a crash left of it nothing to go on from."""
    if not part.is_file():
        return
    with part.open("rb") as file:
        first = file.read(32)
    if any(first) and MAGIC not in first:
        raise UserError(f"{str(part)!r} was not left by a build; remove it, or name another out")
    try:
        check_pages(part)
    except UserError:
        _remove(part)


def _remove(part: Path) -> None:
    for path in (part, part.with_name(part.name + "-lock")):
        path.unlink(missing_ok=True)


def _there(contents: Contents, out: Path) -> Card:
    """The card of a file that holds just these contents, which are all read; else a UserError."""
    other = UserError(
        f"{str(out)!r} is there already, with other contents; verify it, or name another file"
    )
    try:
        card = verify(out)
    except UserError as error:
        raise other from error
    if not _is_of(card, contents):
        raise other
    return card


def _is_of(card: Card, contents: Contents) -> bool:
    """Whether a card is of just these contents, which are all read, but not decoded."""
    sizes = {part: len(labels) for part, labels in contents.labels.items()}
    if (card.classes, {part: card.size(part) for part in card.counts}) != (contents.classes, sizes):
        return False
    headers = {
        place: header(pack(int(contents.labels[place[0]][place[1]]), content))
        for place, content in contents.read(contents.places())
    }
    return card.contents == _digest(contents, headers.__getitem__)


def _written(env: lmdb.Environment, contents: Contents) -> Card | None:
    """The card of a build that was killed when all was in its file; None of any other."""
    with env.begin() as reading:
        kept, progress = reading.get(META_KEY), reading.get(_PROGRESS_KEY)
        names = {part: reading.get(names_key(part)) for part in contents.names}
    if kept is None or progress is not None:
        return None
    try:
        card = Card.from_dict(read_json(kept))
        found = _contents_digest(env, contents, _sound)
    except (ValueError, TypeError):
        return None
    wanted = {part: pack_names(its) for part, its in contents.names.items()}
    said = card.name, card.source, card.contents, names
    same = said == (contents.name, contents.source, found, wanted)
    return card if same and _is_of(card, contents) else None


def _sound(value: bytes | memoryview) -> bytes:
    """The header of an image that is what it says; ValueError of others."""
    unpack(value)
    return header(value)


def _write(
    env: lmdb.Environment, most: int | None, values: Sequence[tuple[bytes, bytes | None]]
) -> None:
    """Write all of the values, or none; keys with None are deleted. The map grows as it fills."""
    while True:
        try:
            with env.begin(write=True) as writing:
                for key, value in values:
                    if value is None:
                        writing.delete(key)
                    else:
                        writing.put(key, value)
            return
        except lmdb.MapFullError:
            if most is not None:
                raise UserError(
                    f"map_size={most} bytes are too few for these images; give more, or leave it "
                    "out"
                ) from None
            env.set_mapsize(2 * env.info()["map_size"])


def _fill(
    env: lmdb.Environment,
    write: Write,
    contents: Contents,
    decode: Decode,
    advance: Callable[[int], None],
) -> Gathered:
    """Write what is missing, a chunk of images at a time; what is known of all of them."""
    gathered, missing = _begin(env, contents)
    advance(len(contents.places()) - len(missing))

    def decoded(one: Encoded) -> NDArray[np.uint8]:
        return decode(contents.name_of(one[0]), one[1])

    images = iter(contents.read(missing))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while chunk := list(islice(images, CHUNK)):
            values: list[tuple[bytes, bytes | None]] = []
            for (place, content), pixels in zip(chunk, pool.map(decoded, chunk), strict=True):
                key, label = image_key(*place), int(contents.labels[place[0]][place[1]])
                values.append((key, pack(label, content)))
                values.append((_STAMP + key, contents.stamp_of(place).encode()))
                gathered.add(place[0], pixels, len(content))
            progress = {"fingerprint": contents.fingerprint, "gathered": gathered.as_dict()}
            write([*values, (_PROGRESS_KEY, json.dumps(progress).encode())])
            advance(len(chunk))
    return gathered


def _begin(env: lmdb.Environment, contents: Contents) -> tuple[Gathered, set[Place]]:
    """What an interrupted build had gathered, and which places are missing."""
    missing = contents.places()
    with env.begin() as reading:
        kept = reading.get(_PROGRESS_KEY)
        stamps = {place: reading.get(_STAMP + image_key(*place)) for place in sorted(missing)}
    found = None if kept is None else _progress_in(kept)
    if found is None:  # a fresh one, or one that was interrupted when all was in it, or is damaged
        with env.begin(write=True) as writing:
            writing.drop(env.open_db(txn=writing), delete=False)
        return Gathered(), missing
    gathered, fingerprint = found
    if fingerprint != contents.fingerprint:
        raise UserError(
            f"{env.path()!r} is of an interrupted build from something else, or the source has "
            "changed since; remove it"
        )
    there = {place: bytes(stamp) for place, stamp in stamps.items() if stamp is not None}
    for place, stamp in there.items():
        if stamp != contents.stamp_of(place).encode():
            raise UserError(
                f"{contents.name_of(place)} has changed since an interrupted build wrote it to "
                f"{env.path()!r}; remove that, and build anew"
            )
    return gathered, missing - there.keys()


def _progress_in(kept: bytes) -> tuple[Gathered, Any] | None:
    """What was gathered, and the fingerprint of the contents; None where it cannot be read."""
    try:
        document = read_json(kept)
        return Gathered.from_dict(document["gathered"]), document["fingerprint"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _card(env: lmdb.Environment, contents: Contents, gathered: Gathered) -> Card:
    assert gathered.smallest is not None
    assert gathered.largest is not None
    classes = len(contents.classes)
    mean, std = statistics_of(gathered.values[: contents.channels])
    return Card(
        contents.name,
        contents.source,
        contents.classes,
        {part: np.bincount(n, minlength=classes).tolist() for part, n in contents.labels.items()},
        mean,
        std,
        gathered.smallest,
        gathered.largest,
        gathered.encoded,
        _contents_digest(env, contents),
        contents.channels,
    )


def _complete(env: lmdb.Environment, write: Write, contents: Contents, card: Card) -> None:
    """Write labels and card, with which all is there."""
    labels = [(labels_key(p), n.astype("<i8").tobytes()) for p, n in contents.labels.items()]
    names = [(names_key(part), pack_names(names)) for part, names in contents.names.items()]
    # Of a million images the stamps take room, too: pages are copied before they change.
    stamps = [(_STAMP + image_key(*place), None) for place in sorted(contents.places())]
    meta = json.dumps(card.as_dict()).encode()
    write([*labels, *names, (META_KEY, meta), (_PROGRESS_KEY, None), *stamps])
    env.sync(True)


def _publish(env: lmdb.Environment, out: Path) -> None:
    """Write the whole of it compact under its name, its digest beside it."""
    temporary, beside = out.with_name(out.name + ".tmp"), digest_file(out)
    text = beside.with_name(beside.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            env.copyfd(file.fileno(), compact=True)
            os.fsync(file.fileno())
        text.write_text(f"{file_digest(temporary)}  {out.name}\n")
        text.replace(beside)
        temporary.replace(out)
    except BaseException:
        for path in (temporary, text):
            path.unlink(missing_ok=True)
        raise


def _contents_digest(
    env: lmdb.Environment,
    contents: Contents,
    header_of: Callable[[bytes | memoryview], bytes] = header,
) -> str:
    with env.begin(buffers=True) as reading:
        return _digest(contents, lambda place: header_of(reading.get(image_key(*place)) or b""))


def _digest(contents: Contents, header_of: Callable[[Place], bytes]) -> str:
    """sha256 (hex) of the headers of all images, in the order of their numbers."""
    seen = hashlib.sha256()
    for part, labels in contents.labels.items():
        seen.update(f"{part} {len(labels)}\n".encode())
        for number in range(len(labels)):
            seen.update(header_of((part, number)))
    return seen.hexdigest()
