"""The files of a bundle: in a folder, or in one zip to hand over."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mu.errors import UserError
from mu.evidence.dsse import countersign, sign, verified
from mu.evidence.packing import LARGEST, MOST_FILES, check_names, pack, unpack
from mu.evidence.signing import PrivateKey, public_pem
from mu.evidence.statement import make_statement
from mu.readers.paths import checked_path

STATEMENT, ENVELOPE, LOG = "statement.json", "statement.dsse.json", "log.json"
PUBLIC_KEY = "public_key.pem"
BUNDLE_FOLDER, BUNDLE_FILE = "evidence", "evidence.zip"  # among the artifacts of an erasure
UNLISTED = (STATEMENT, ENVELOPE, LOG)  # they cannot hold their own digests
# What the statement rests on, and what people read: the statement has their digests.
CONTENTS = (
    "environment.json",
    "outputs.npz",
    "page.html",
    "policy.yaml",
    "records.json",
)
MODEL = "model/"  # of the names of files that the statement names, and that are elsewhere


@dataclass(frozen=True)
class Bundle:
    """Files by their relative paths; whether they are what they should be, `checks` says."""

    files: Mapping[str, bytes]

    @classmethod
    def make(
        cls,
        files: Mapping[str, bytes],
        subjects: Mapping[str, str],
        predicate: Mapping[str, Any],
        key: PrivateKey | None = None,
    ) -> Bundle:
        """A bundle of files and of a statement on them, signed if there is a key.

        Parameters
        ----------
        files
            Those of :data:`CONTENTS`, and further ones.
        subjects
            sha256 of the files that the statement is on, and that are no part of the bundle: of
            the model.
        """
        found = {**files, PUBLIC_KEY: public_pem(key.public_key())} if key else {**files}
        check_names({**found, **subjects})
        if missing := {*CONTENTS} - {*files}:
            raise ValueError(f"a bundle has {' and '.join(sorted(missing))}, too")
        if taken := {*files} & {*UNLISTED, PUBLIC_KEY}:
            raise ValueError(f"{' and '.join(sorted(taken))} is made here; do not give it")
        if not all(map(is_of_model, subjects)) or any(map(is_of_model, files)):
            raise ValueError(f"only files of the model, and all of them, are named {MODEL}...")
        digests = {name: sha256(content) for name, content in found.items()}
        statement = make_statement({**subjects, **digests}, predicate)
        found[STATEMENT] = statement
        if key:
            found[ENVELOPE] = sign(statement, key)
        return cls(found)

    @property
    def signers(self) -> list[str]:
        """Key IDs of who signed it, none if nobody did; a ValueError if a signature is wrong."""
        return verified(self.files[ENVELOPE])[1] if ENVELOPE in self.files else []

    def with_log(self, entry: bytes) -> Bundle:
        """The bundle with its place in the log."""
        return replace(self, files={**self.files, LOG: entry})

    def countersigned(self, key: PrivateKey) -> Bundle:
        """The bundle with a further signature; a ValueError if it is not signed, or by this key."""
        if ENVELOPE not in self.files:
            raise ValueError("it is not signed, so it cannot be countersigned")
        envelope = countersign(self.files[ENVELOPE], key)
        return replace(self, files={**self.files, ENVELOPE: envelope})

    def pack(self) -> bytes:
        """The files in one zip, the same to the byte whenever they are packed."""
        return pack(self.files)

    def write(self, folder: Path) -> None:
        """Write the files into a new or empty folder: all of them, or none.

        UserError if it holds anything.
        """
        folder = checked_path("out", folder)
        check_names(self.files)
        try:
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise UserError(f"{folder} is there already and not empty; give a new folder")
            folder.parent.mkdir(parents=True, exist_ok=True)
            made = _scratch(folder)
            try:
                self._fill(made)
                made.replace(folder)
            finally:
                shutil.rmtree(made, ignore_errors=True)
        except OSError as error:
            why = error.strerror
            raise UserError(f"{folder} cannot be written ({why}); give another folder") from error

    def _fill(self, folder: Path) -> None:
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    @classmethod
    def read(cls, path: Path) -> Bundle:
        """The bundle of a folder, or of a zip.

        UserError if it cannot be read at all, a ValueError that names what in it is none of a
        bundle: a link, a zip that was changed.
        """
        path = checked_path("bundle", path)
        try:
            if path.is_dir():
                return cls(dict(_in_folder(path)))
            with path.open("rb") as file:
                content = file.read(LARGEST + 1)
        except FileNotFoundError as error:
            raise UserError(f"there is no bundle {path}; give its folder or its zip") from error
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); give a bundle") from error
        if len(content) > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} bytes")
        return cls.of_zip(content)

    @classmethod
    def of_zip(cls, content: bytes) -> Bundle:
        """The bundle of a zip's bytes; a ValueError if :meth:`pack` did not write exactly these."""
        return cls(unpack(content))


def write_envelope(path: Path, bundle: Bundle) -> None:
    """Write the envelope of a bundle that was read from ``path``, a folder or a zip, anew."""
    name = path / ENVELOPE if path.is_dir() else path
    content = bundle.files[ENVELOPE] if path.is_dir() else bundle.pack()
    scratch = _scratch(path)
    try:
        scratch.write_bytes(content)
        scratch.replace(name)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise UserError(f"{name} cannot be written ({error.strerror}); make room there") from error


def sha256(content: bytes) -> str:
    """The digest by which a statement names a file."""
    return hashlib.sha256(content).hexdigest()


def is_of_model(name: str) -> bool:
    """Whether a name in a statement is of a file of the model, which no bundle holds."""
    return name.startswith(MODEL)


def _scratch(path: Path) -> Path:
    """A name beside a file or folder, for what will take its place when it is whole."""
    path = path.absolute()
    return path.parent / f".{path.name}.{os.getpid()}"


def _in_folder(root: Path) -> Iterator[tuple[str, bytes]]:
    """Every file in a folder, without following any link."""
    waiting, left, count = [root], LARGEST, 0
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            name = path.relative_to(root).as_posix()
            check_names({name: None})
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                waiting.append(path)
                continue
            if not stat.S_ISREG(mode):
                kind = "a symbolic link" if stat.S_ISLNK(mode) else "no plain file"
                raise ValueError(f"{name} is {kind}, and no file of a bundle")
            count += 1
            content = _content(path, left)
            left -= len(content)
            if left < 0 or count > MOST_FILES:
                raise ValueError(f"it has more than {LARGEST:,} bytes or {MOST_FILES:,} files")
            yield name, content


def _content(path: Path, most: int) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        return file.read(most + 1)
