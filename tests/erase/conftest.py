"""A store in which records were erased from a model of photographs, made once; copy it."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from entrypoints import erase
from mu.cli.main import run as run_command
from mu.cli.requests import Request
from mu.evidence.dsse import new_key, save_key
from mu.tasks.prune import prune
from mu.tracking import Store, connect
from mu.tracking.registered import register, set_alias
from tests.conftest import Workshop, copy_store, store_uri
from tests.test_main_job import newest

CLASSES = ("zero", "one", "two", "three")
TRAIN, TEST = 24, 30  # images of each class
ORIGINAL = {"epochs": 8, "batch_size": 16, "rate": 0, "augment": "none", "arch": "resnet_mini"}
MODEL = "faces"
# The images of zero are 0 to 23 of the data set, sorted by class: one is 0 of "one".
NAME = "portrait-{:04d}-of-mine.png"


@dataclass(frozen=True)
class World:
    """A store with an original, registered, and what a request needs beside it."""

    folder: Path
    path: Path
    original: str

    @property
    def store(self) -> Store:
        return connect(store_uri(self.path))

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    def copied(self, folder: Path, patch: pytest.MonkeyPatch) -> World:
        """The same with a store of its own, which the environment names."""
        path = copy_store(self.path, folder)
        patch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
        return replace(self, path=path)


def photographs(folder: Path) -> None:
    """Digits as files; the fourth zero has a copy, the fifth."""
    digits = load_digits()
    for label, name in enumerate(CLASSES):
        images = digits.images[digits.target == label]
        for part, start, count in (("train", 0, TRAIN), ("test", TRAIN, TEST)):
            place = folder / part / f"{label}-{name}"
            place.mkdir(parents=True)
            for number, one in enumerate(images[start : start + count]):
                pixels = (one * 15).astype(np.uint8)
                Image.fromarray(pixels).save(place / NAME.format(number))
    zeros = folder / "train" / "0-zero"
    (zeros / NAME.format(4)).write_bytes((zeros / NAME.format(3)).read_bytes())


def write_request(path: Path, rows: Iterable[tuple[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("subject", "record"), *rows])
    return path


def call(*arguments: object) -> int:
    """Run the entry in this process; its exit status."""
    with pytest.raises(SystemExit) as ended:
        run_command(erase.build, [str(one) for one in (*arguments, "--device", "cpu")])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def newest_erasure(store: Store):
    return newest(store, "tags.`mu.entry` = 'erase'")


@pytest.fixture(scope="session")
def registered(empty_store: Path, workshop: Workshop) -> World:
    """An original on photographs that is version 1 of a registered model, and production."""

    def make(folder: Path) -> None:
        photographs(folder / "photographs")
        save_key(folder / "key.pem", new_key())
        with pytest.MonkeyPatch.context() as patch:
            path = copy_store(empty_store, folder)
            patch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
            data = {"dataset": "imagefolder", "data_dir": str(folder / "photographs")}
            prune(Request(original={**data, **ORIGINAL}, device={"device": "cpu"}))
            store = connect()
            register(store, newest(store, "tags.`mu.entry` = 'prune'").info.run_id, MODEL)
            set_alias(store, MODEL, "production", 1)

    folder = workshop.folder("registered-photographs", make)
    store = connect(store_uri(folder / "mlflow.db"))
    original = newest(store, "tags.`mu.entry` = 'prune'").info.run_id
    return World(folder, folder / "mlflow.db", original)
