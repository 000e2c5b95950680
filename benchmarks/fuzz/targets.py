"""The readers of mu that are given damaged files, each with whole files to begin with."""

from __future__ import annotations

import hashlib
import io
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import click
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save as save_tensors

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
from benchmarks.fuzz.mutations import SENTINEL, as_json, mutate
from mu.checkpoints import MASK_FILE, SPEC_FILE, WEIGHTS_FILE, Checkpoint, DataSpec, Spec
from mu.cli.requests import DeviceOptions
from mu.data import load_data
from mu.data.files.decode import decode_rgb
from mu.data.forget import ForgetRequest
from mu.data.index_files import read_indices
from mu.data.name_lists import read_names
from mu.data.poison import Poison
from mu.data.poison_options import PoisonOptions
from mu.data.store.builder import build
from mu.data.store.reader import ImageStore
from mu.data.store.sources import of_tree
from mu.errors import UserError
from mu.foreign.originals import import_original
from mu.masks import Mask
from mu.methods import make_method
from mu.originals.train import make_recipe
from mu.pruning.base import prunable
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


class Files:
    """A folder for files under test, and whole ones of every kind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / f"{SENTINEL}.py").write_text("def make(*_, **__):\n    pass\n")
        self.data = load_data("digits")
        recipe = make_recipe(self.data, epochs=2, train_size=200)
        model = recipe.model.build(0)
        spec = Spec(DataSpec.of(self.data), recipe, (3, 5), ("pruned", "ft"))
        self.checkpoint = Checkpoint(model, Mask.dense(model, prunable(model, "body")), spec)
        self.digests = self.checkpoint.save(folder / "whole")
        self.checkpoint.save(folder / "damaged")

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
            "spec": Target(self._specs(), self._spec, change_spec, 14),
            "config": Target((as_json(config),), self._record(CONFIG_FILE), change_json, 8),
            "forgotten": Target((npy(numbers),), self._record(FORGET_FILE), weight=4),
            "mask": Target(((whole / MASK_FILE).read_bytes(),), self._mask),
            "weights": Target(((whole / WEIGHTS_FILE).read_bytes(),), self._weights, weight=6),
            "progress": Target((self._progress(),), Progress.from_bytes, weight=6),
            "lmdb": Target((self._lmdb(),), self._in_child(self._images), weight=10),
            "import": Target(self._foreign(), self._import, weight=6),
            "command": Target((b"",), _command, words, 10),
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
        self._put(f"damaged/{SPEC_FILE}", content)
        spec = Checkpoint.load(self.folder / "damaged").spec
        if ":" in spec.data.name:
            load_data(spec.data.name)
        spec.forget_split(spec.data.bind(self.data), ForgetRequest.parse("class:1"))

    def _specs(self) -> tuple[bytes, bytes]:
        """As it is, and of a poisoned original."""
        spec = self.checkpoint.spec
        parts = spec.split(self.data)
        poison = Poison.choose(PoisonOptions(), {}, self.data, parts, seed=0)
        poisoned = replace(spec, data=replace(spec.data, poison=poison))
        return spec.to_json(self.digests).encode(), poisoned.to_json(self.digests).encode()

    def _weights(self, content: bytes) -> None:
        digests = {**self.digests, WEIGHTS_FILE: hashlib.sha256(content).hexdigest()}
        self._put(f"damaged/{WEIGHTS_FILE}", content)
        self._put(f"damaged/{SPEC_FILE}", self.checkpoint.spec.to_json(digests).encode())
        Checkpoint.load(self.folder / "damaged")

    def _mask(self, content: bytes) -> None:
        Mask.load(self._put("mask.safetensors", content)).check(self.checkpoint.model)

    def _progress(self) -> bytes:
        weights = self.checkpoint.model.state_dict()
        return Progress(0, 1, weights, {}, {}, self.checkpoint.mask).to_bytes({"spec": {}})

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

    def _lmdb(self) -> bytes:
        draws = np.random.default_rng(0)
        for part, n in (("train", 6), ("test", 2)):
            for number in range(n):
                place = self.folder / "tree" / part / "ab"[number % 2]
                place.mkdir(parents=True, exist_ok=True)
                pixels = draws.integers(0, 256, (40 if number else 90, 30, 3), np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
        out = self.folder / "images.lmdb"
        build(of_tree(self.folder / "tree"), out, decode_rgb)
        return out.read_bytes()

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

    def _foreign(self) -> tuple[bytes, ...]:
        weights = {name: one.clone() for name, one in self.checkpoint.model.state_dict().items()}
        file = io.BytesIO()
        torch.save({"state_dict": weights, "epoch": 3}, file)
        # What unpickling it would do is to import the sentinel and call its function.
        pickled = f"c{SENTINEL}\nmake\n(tR.".encode()
        return file.getvalue(), save_tensors(weights), pickled

    def _import(self, content: bytes) -> None:
        import_original(self._put("weights.pt", content), self.data, train_size=200)


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


def _command(content: bytes) -> None:
    """Everything that a command checks before it does any work."""
    name, *given = os.fsdecode(content).split("\0")
    command = COMMANDS[name].build(given)
    try:
        values = command.make_context(name, given).params
    except (click.ClickException, click.exceptions.Exit) as error:
        raise RefusedError from error
    device = {name: values[name].value for name in DeviceOptions.names() if values.get(name)}
    checked_device(DeviceOptions.of(device))
    for option in ("forget", "poison"):
        if (value := values.get(option)) is not None and value.value is not None:
            ForgetRequest.parse(value.value, option)
