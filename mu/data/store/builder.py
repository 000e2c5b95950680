"""Building a file of images: on all cores, resumable, and whole or not there at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from mu.data.files.cache import file_digest
from mu.data.images import statistics_of
from mu.data.store import reader
from mu.data.store.card import Card, Gathered
from mu.data.store.pages import MAGIC, check_pages
from mu.data.store.sources import Contents, Encoded, Place
from mu.errors import UserError
from mu.readers.documents import read_json

FIRST_MAP = 2**28
CHUNK = 256  # images a transaction
_PROGRESS_KEY = b"progress/2"  # 2: where an earlier mu was interrupted, all is built anew
_STAMP = b"stamp/"

Decode = Callable[[str, bytes], NDArray[np.uint8]]
Values = Sequence[tuple[bytes, bytes | None]]  # by key; of None, what is to be deleted


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
            work = _Build(contents, env, map_size)
            card = work.written() or work.complete(work.fill(decode, advance))
            work.publish(out)
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
        card = reader.verify(out)
    except UserError as error:
        raise other from error
    if not contents.fit(card):
        raise other
    return card


@dataclass
class _Build:
    """A build and the file that it fills."""

    contents: Contents
    env: lmdb.Environment
    most: int | None  # its largest size in bytes; by default it grows as needed

    def write(self, values: Values) -> None:
        """Write all of the values, or none. The map grows as it fills."""
        while True:
            try:
                with self.env.begin(write=True) as writing:
                    for key, value in values:
                        if value is None:
                            writing.delete(key)
                        else:
                            writing.put(key, value)
                return
            except lmdb.MapFullError:
                if self.most is not None:
                    raise UserError(
                        f"map_size={self.most} bytes are too few for these images; give more, or "
                        "leave it out"
                    ) from None
                self.env.set_mapsize(2 * self.env.info()["map_size"])

    def written(self) -> Card | None:
        """The card of a build that was killed when all was in its file; None of any other."""
        contents = self.contents
        with self.env.begin() as reading:
            kept, progress = reading.get(reader.META_KEY), reading.get(_PROGRESS_KEY)
            names = {part: reading.get(reader.names_key(part)) for part in contents.names}
        if kept is None or progress is not None:
            return None
        try:
            card = Card.from_dict(read_json(kept))
            found = self.digest(_sound)
        except (ValueError, TypeError):
            return None
        wanted = {part: reader.pack_names(its) for part, its in contents.names.items()}
        said = card.name, card.source, card.contents, names
        same = said == (contents.name, contents.source, found, wanted)
        return card if same and contents.fit(card) else None

    def fill(self, decode: Decode, advance: Callable[[int], None]) -> Gathered:
        """Write what is missing, a chunk of images at a time; what is known of all of them."""
        contents = self.contents
        gathered, missing = self.begin()
        advance(len(contents.places()) - len(missing))

        def decoded(one: Encoded) -> NDArray[np.uint8]:
            return decode(contents.name_of(one[0]), one[1])

        images = iter(contents.read(missing))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            while chunk := list(islice(images, CHUNK)):
                values: list[tuple[bytes, bytes | None]] = []
                for (place, content), pixels in zip(chunk, pool.map(decoded, chunk), strict=True):
                    key, label = reader.image_key(*place), int(contents.labels[place[0]][place[1]])
                    values.append((key, reader.pack(label, content)))
                    values.append((_STAMP + key, contents.stamp_of(place).encode()))
                    gathered.add(place[0], pixels, len(content))
                progress = {"fingerprint": contents.fingerprint, "gathered": gathered.as_dict()}
                self.write([*values, (_PROGRESS_KEY, json.dumps(progress).encode())])
                advance(len(chunk))
        return gathered

    def begin(self) -> tuple[Gathered, set[Place]]:
        """What an interrupted build had gathered, and which places are missing."""
        missing, path = self.contents.places(), self.env.path()
        with self.env.begin() as reading:
            kept = reading.get(_PROGRESS_KEY)
            stamps = {one: reading.get(_STAMP + reader.image_key(*one)) for one in sorted(missing)}
        found = None if kept is None else _progress_in(kept)
        if found is None:  # a fresh one, or one interrupted when all was in it, or damaged
            with self.env.begin(write=True) as writing:
                writing.drop(self.env.open_db(txn=writing), delete=False)
            return Gathered(), missing
        gathered, fingerprint = found
        if fingerprint != self.contents.fingerprint:
            raise UserError(
                f"{path!r} is of an interrupted build from something else, or the source has "
                "changed since; remove it"
            )
        there = {place: bytes(stamp) for place, stamp in stamps.items() if stamp is not None}
        for place, stamp in there.items():
            if stamp != self.contents.stamp_of(place).encode():
                raise UserError(
                    f"{self.contents.name_of(place)} has changed since an interrupted build wrote "
                    f"it to {path!r}; remove that, and build anew"
                )
        return gathered, missing - there.keys()

    def card(self, gathered: Gathered) -> Card:
        """What the file says of itself."""
        assert gathered.smallest is not None
        assert gathered.largest is not None
        contents, classes = self.contents, len(self.contents.classes)
        mean, std = statistics_of(gathered.values[: contents.channels])
        return Card(
            name=contents.name,
            source=contents.source,
            classes=contents.classes,
            counts={
                part: np.bincount(labels, minlength=classes).tolist()
                for part, labels in contents.labels.items()
            },
            mean=mean,
            std=std,
            smallest=gathered.smallest,
            largest=gathered.largest,
            encoded=gathered.encoded,
            contents=self.digest(reader.header),
            channels=contents.channels,
        )

    def digest(self, header_of: Callable[[bytes | memoryview], bytes]) -> str:
        """Of the contents, by the headers that the file has."""
        with self.env.begin(buffers=True) as reading:
            return self.contents.digest(
                lambda place: header_of(reading.get(reader.image_key(*place)) or b"")
            )

    def complete(self, gathered: Gathered) -> Card:
        """Write labels and card, with which all is there."""
        card, contents, key = self.card(gathered), self.contents, reader.labels_key
        labels = [(key(part), n.astype("<i8").tobytes()) for part, n in contents.labels.items()]
        names = [(reader.names_key(p), reader.pack_names(n)) for p, n in contents.names.items()]
        # Of a million images the stamps take room, too: pages are copied before they change.
        stamps = [(_STAMP + reader.image_key(*one), None) for one in sorted(contents.places())]
        meta = json.dumps(card.as_dict()).encode()
        self.write([*labels, *names, (reader.META_KEY, meta), (_PROGRESS_KEY, None), *stamps])
        self.env.sync(True)
        return card

    def publish(self, out: Path) -> None:
        """Write the whole of it compact under its name, its digest beside it."""
        temporary, beside = out.with_name(out.name + ".tmp"), reader.digest_file(out)
        text = beside.with_name(beside.name + ".tmp")
        try:
            with temporary.open("wb") as file:
                self.env.copyfd(file.fileno(), compact=True)
                os.fsync(file.fileno())
            text.write_text(f"{file_digest(temporary)}  {out.name}\n")
            text.replace(beside)
            temporary.replace(out)
        except BaseException:
            for path in (temporary, text):
                path.unlink(missing_ok=True)
            raise


def _sound(value: bytes | memoryview) -> bytes:
    """The header of an image that is what it says; ValueError of others."""
    reader.unpack(value)
    return reader.header(value)


def _progress_in(kept: bytes) -> tuple[Gathered, Any] | None:
    """What was gathered, and the fingerprint of the contents; None where it cannot be read."""
    try:
        document = read_json(kept)
        return Gathered.from_dict(document["gathered"]), document["fingerprint"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
