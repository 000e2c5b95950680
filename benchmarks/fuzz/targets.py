"""The readers of mu that are given damaged files, each with whole files to begin with."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.fuzz.files import (
    COMMANDS,
    GRIDS,
    change_grid,
    change_json,
    change_spec,
    npy,
    npz,
    words,
)
from benchmarks.fuzz.mutations import as_json, mutate
from benchmarks.fuzz.whole import Whole
from mu.checkpoints import Checkpoint
from mu.cli.requests import DeviceOptions
from mu.data import load_data
from mu.data.files.decode import decode_rgb
from mu.data.forget_request import ForgetRequest
from mu.data.lists import read_indices, read_names
from mu.data.store.reader import ImageStore
from mu.errors import UserError
from mu.file_names import MASK_FILE, SPEC_FILE, WEIGHTS_FILE
from mu.foreign.originals import import_original
from mu.masks import Mask
from mu.methods import make_method
from mu.readers.arrays import read_npz
from mu.run_record import CONFIG_FILE, FORGET_FILE, RunRecord
from mu.tags import FORGET, fingerprint_tag
from mu.tasks.base import checked_device
from mu.tasks.sweep.grid import Grid, load_yaml
from mu.tasks.sweep.plan import plan_of
from mu.tracking import Store
from mu.training.progress import Progress


class RefusedError(Exception):
    """What a caller words as a user's mistake."""


@dataclass(frozen=True)
class Target:
    """A reader.

    Parameters
    ----------
    seeds
        Whole files.
    read
        Called with the bytes of a file; raises :class:`UserError`, or what the caller of this
        reader makes one of, where they are refused.
    change
        Makes another file of one.
    weight
        How many files of a hundred it is given.
    """

    seeds: tuple[bytes, ...]
    read: Callable[[bytes], Any]
    change: Callable[[bytes, Random], bytes] = mutate
    weight: int = 8


class Readers:
    """The readers of files in a folder, of which there are whole ones."""

    def __init__(self, whole: Whole) -> None:
        self.whole, self.folder = whole, whole.folder

    def targets(self) -> dict[str, Target]:
        """All of them by name."""
        numbers = np.arange(20, dtype=np.int64)
        lists = npy(numbers), npy(numbers.astype("<u2"))
        texts = b"1\n2\n3\n", b"1, 2, 3", "number\n5\n".encode("utf-16")
        config = {"method": "ft", "forget": "class:3", "seed": 0, **make_method("ft").as_dict()}
        whole = self.folder / "whole"
        return {
            "npy": Target(lists, self._index(".npy"), weight=12),
            "names": Target((b"file,label\na.png,1\n", b"a/*.png\nb.png\n"), self._names, weight=4),
            "text": Target(texts, self._index(".csv")),
            "npz": Target((npz(a=numbers, b=numbers.astype(np.float32)),), _wrapped(read_npz)),
            "grid": Target(tuple(map(str.encode, GRIDS)), self._grid, change_grid, 12),
            "spec": Target(self.whole.specs(), self._spec, change_spec, 14),
            "config": Target((as_json(config),), self._record(CONFIG_FILE), change_json, 8),
            "forgotten": Target((npy(numbers),), self._record(FORGET_FILE), weight=4),
            "mask": Target(((whole / MASK_FILE).read_bytes(),), self._mask),
            "weights": Target(((whole / WEIGHTS_FILE).read_bytes(),), self._weights, weight=6),
            "progress": Target((self.whole.progress(),), Progress.from_bytes, weight=6),
            "lmdb": Target((self.whole.images(),), self._in_child(self._images), weight=10),
            "import": Target(self.whole.foreign(), self._import, weight=6),
            "command": Target((b"prune\0--epochs=3",), self._command, words, 10),
        }

    def _put(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def _names(self, content: bytes) -> None:
        read_names(self._put("names.csv", content))

    def _index(self, suffix: str) -> Callable[[bytes], Any]:
        return lambda content: read_indices(self._put(f"list{suffix}", content))

    @staticmethod
    def _grid(content: bytes) -> Grid:
        try:
            text = content.decode()
        except UnicodeDecodeError as error:  # as mu.tasks.sweep.grid.read_text does
            raise RefusedError from error
        grid = Grid.of(load_yaml(text, "fuzz.yaml"))
        names = {str(block.get("dataset", "digits")) for block in grid.originals}
        # What it names itself is the user's to run, and other data would be downloaded.
        if names == {"digits"} and not any(":" in str(one.get("arch")) for one in grid.originals):
            plan_of(grid, DeviceOptions(), _no_store)

    def _spec(self, content: bytes) -> None:
        self._put(f"spec/{SPEC_FILE}", content)
        spec = Checkpoint.load(self.folder / "spec").spec
        if ":" in spec.data.name:
            load_data(spec.data.name)
        spec.forget_split(spec.data.bind(self.whole.data), ForgetRequest.parse("class:1"))

    def _weights(self, content: bytes) -> None:
        digests = {**self.whole.digests, WEIGHTS_FILE: hashlib.sha256(content).hexdigest()}
        self._put(f"weights/{WEIGHTS_FILE}", content)
        self._put(f"weights/{SPEC_FILE}", self.whole.checkpoint.spec.to_json(digests).encode())
        Checkpoint.load(self.folder / "weights")

    def _mask(self, content: bytes) -> None:
        Mask.load(self._put("mask.safetensors", content)).check(self.whole.checkpoint.model)

    def _record(self, name: str) -> Callable[[bytes], None]:
        config = as_json({"method": "ft", "forget": "class:3", "seed": 0})
        spec = (self.folder / "whole" / SPEC_FILE).read_bytes()
        files = {CONFIG_FILE: config, SPEC_FILE: spec}

        def read(content: bytes) -> None:
            numbers = np.arange(20, dtype=np.int64).tobytes()
            tags = {FORGET: fingerprint_tag(hashlib.sha256(numbers).hexdigest())}
            there: Mapping[str, bytes] = {**files, name: content}
            record = RunRecord(
                *("0" * 32, "unlearn", "ft", "FINISHED", datetime.now(UTC), 1.0),
                *({"forget": "class:3"}, {}, tags),
                reads=there.__getitem__,
            )
            if name == FORGET_FILE:
                record.forget_indices  # noqa: B018
            else:
                record.complete().make_method()

        return read

    def _images(self, content: bytes) -> None:
        path = self._put("damaged.lmdb", content)
        with ImageStore(path) as store:
            for part in ("train", "test"):
                for number in range(len(store.labels(part))):
                    decode_rgb(*store.named_image(part, number))

    def _in_child(self, read: Callable[[bytes], Any]) -> Callable[[bytes], None]:
        """In a process of its own, which LMDB may end: pages are used as they are mapped."""

        def reads(content: bytes) -> None:
            if (child := os.fork()) == 0:
                status = 3
                try:
                    signal.alarm(60)
                    read(content)
                    status = 0
                except UserError:
                    status = 2
                finally:
                    os._exit(status)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if status == 2:
                raise RefusedError
            if status < 0:
                raise ChildDiedError(signal.Signals(-status).name)
            if status:
                raise RuntimeError("an exception in the child; read the file in this process")

        return reads

    def _import(self, content: bytes) -> None:
        import_original(self._put("weights.pt", content), self.whole.data, train_size=200)

    def _command(self, content: bytes) -> None:
        """Everything that a command checks before it does any work."""
        name, *given = os.fsdecode(content).split("\0")
        command = COMMANDS[name].build(given)
        try:
            values = command.make_context(name, given).params
        except Exception as error:
            if type(error).__module__ != "click.exceptions":  # only mu.cli knows click
                raise
            raise RefusedError from error
        device = {name: values[name].value for name in DeviceOptions.names() if values.get(name)}
        checked_device(DeviceOptions.of(device))
        data = self.whole.data
        for option in ("forget", "poison"):
            if (value := values.get(option)) is not None and value.value is not None:
                request = ForgetRequest.parse(value.value, option)
                request.select(data, self.whole.checkpoint.spec.split(data), seed=0)


def _no_store() -> Store:
    raise RefusedError  # a grid that names a mask


class ChildDiedError(Exception):
    """A process that LMDB ended."""


def _wrapped(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """A reader of :mod:`mu.readers`, whose callers make a UserError of a ValueError."""

    def reads(content: bytes) -> Any:
        try:
            return read(content)
        except ValueError as error:
            raise RefusedError from error

    return reads
