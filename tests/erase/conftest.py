"""A store in which records were erased from a model of photographs, made once; copy it."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from entrypoints import erase
from mu.cli.main import run as run_command
from mu.cli.requests import Request
from mu.evidence.signing import new_key, save_key
from mu.tasks.prune import prune
from mu.tracking import Store, connect
from mu.tracking.registered import register, set_alias
from tests.conftest import Workshop, copy_store, store_uri
from tests.test_main_job import newest, runs

CLASSES = ("zero", "one", "two", "three")
TRAIN, TEST = 24, 30  # images of each class
ORIGINAL = {"epochs": 12, "batch_size": 16, "rate": 0, "augment": "none", "arch": "resnet_mini"}
MODEL = "faces"
# The images of zero are 0 to 23 of the data set, sorted by class: one is 0 of "one".
NAME = "portrait-{:04d}-of-mine.png"


@dataclass(frozen=True)
class World:
    """A store with an original, registered, and what a request needs beside it."""

    folder: Path
    path: Path
    original: str
    key: Path

    @property
    def store(self) -> Store:
        return connect(store_uri(self.path))

    def copied(self, folder: Path, patch: pytest.MonkeyPatch) -> Self:
        """The same with a store of its own, which the environment names."""
        path = copy_store(self.path, folder)
        patch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
        return replace(self, path=path)


def photographs(folder: Path) -> None:
    """Noisy digits as files, which cannot but be memorised; the fourth zero has a copy."""
    digits, draws = load_digits(), np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        images = digits.images[digits.target == label]
        for part, start, count in (("train", 0, TRAIN), ("test", TRAIN, TEST)):
            place = folder / part / f"{label}-{name}"
            place.mkdir(parents=True)
            for number, one in enumerate(images[start : start + count]):
                pixels = one * 8 + draws.uniform(0, 127, one.shape)
                Image.fromarray(pixels.astype(np.uint8)).save(place / NAME.format(number))
    zeros = folder / "train" / "0-zero"
    (zeros / NAME.format(4)).write_bytes((zeros / NAME.format(3)).read_bytes())


def write_request(path: Path, rows: Iterable[tuple[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("subject", "record"), *rows])
    return path


def call(*arguments: object) -> int:
    """Run the entry in this process; its exit status."""
    given = [str(one) for one in (*arguments, "--device", "cpu")]
    with pytest.raises(SystemExit) as ended:
        run_command(erase.build, given, launches=False)
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
    return World(folder, folder / "mlflow.db", original, folder / "key.pem")


# Two persons with one record of both; of the first one a record in the validation part, one with
# a copy, and one twice.
PERSONS = {
    "Quillon Abernathy": [f"0-zero/{NAME.format(n)}" for n in (0, 1, 2, 3, 5, 1)],
    "Zenobia Thistlewood": [
        f"0-zero/{NAME.format(2)}",
        *(f"1-one/{NAME.format(n)}" for n in range(6)),
        "nowhere.png",
    ],
}
LATER = {"Zenobia Thistlewood": [f"1-one/{NAME.format(n)}" for n in (0, 9, 10, 11)]}
# What these few images allow: known is what is surer than half of what was never seen.
POLICY = {
    "known_at": 50,
    "auc": 1.0,
    "significance": 0.4,
    "gap": 100,
    "depth": 0,
    "utility": 100,
    "privacy": 100,
}
METHOD = ("--method", "rl", "--epochs", 4, "--lr", 0.1, "--batch_size", 8)


def listed(persons):
    return [(who, record) for who, records in persons.items() for record in records]


@dataclass(frozen=True)
class Erased(World):
    """Two erasures in a row: a signed one that moved the alias, and one that did not ask for it."""

    first: str
    second: str

    @property
    def out(self) -> Path:
        return self.folder / "evidence"

    @property
    def policy(self) -> Path:
        return self.folder / "policy.yaml"

    @property
    def request(self) -> Path:
        return self.folder / "persons-a.csv"


@pytest.fixture(scope="session")
def erased(registered: World, workshop: Workshop) -> Erased:
    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            world = registered.copied(folder, patch)
            first = write_request(folder / "persons-a.csv", listed(PERSONS))
            second = write_request(folder / "persons-b.csv", listed(LATER))
            (folder / "policy.yaml").write_text(yaml.safe_dump(POLICY))
            model = ("--model", f"models:/{MODEL}@production", "--policy", folder / "policy.yaml")
            own = ("--key", world.key, "--out", folder / "evidence", "--promote", "production")
            assert call("--records", first, *model, *METHOD, *own) == 0
            assert call("--records", second, *model, *METHOD) == 0

    folder = workshop.folder("erased", make)
    path = folder / "mlflow.db"
    second, first = runs(connect(store_uri(path)), "tags.`mu.entry` = 'erase'")
    ids = (first.info.run_id, second.info.run_id)
    return Erased(folder, path, registered.original, registered.key, *ids)
