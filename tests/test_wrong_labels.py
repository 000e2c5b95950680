"""Canaries and interclass confusion, planted, unlearned and evaluated by the entry points."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from mu.cli.requests import DeviceOptions
from mu.data import load_data
from mu.data.planted import PlantedDataset
from mu.tasks.prune import task_on
from mu.tracking import Store, find_original, load_checkpoint
from tests.commands import call
from tests.conftest import Workshop

ORIGINAL = ("--prune_epochs", "2", "--prune_train_size", "300", "--prune_rate", "0")
DEVICE = ("--device", "cpu")
FT = ("--method", "ft", "--epochs", "1")


@dataclass(frozen=True)
class Made:
    """The runs of one command in a copy of the store that they were made in."""

    store: Store
    unlearned: str
    original: str
    oracle: str


@pytest.fixture(scope="module")
def folder(empty_store: Path, workshop: Workshop) -> Path:
    """A store with an original whose labels were confused, its unlearning and its oracle."""

    def make() -> None:
        line = ("--forget", "confusion:5,3:9", "--oracle_run_id", "train", *ORIGINAL, *FT)
        assert call("unlearn", *line, *DEVICE) == 0

    return workshop.store("wrong-labels", empty_store, make)


@pytest.fixture
def made(folder: Path, copied: Callable[[Path], Store]) -> Made:
    store = copied(folder)
    runs = {run.data.params["method"]: run for run in store.find({"mu.entry": "unlearn"})}
    tags = runs["ft"].data.tags
    return Made(store, runs["ft"].info.run_id, tags["mu.upstream"], tags["mu.oracle"])


def test_one_command_plants_trains_forgets_and_compares(made: Made) -> None:
    runs = {one: made.store.run(getattr(made, one)).data for one in ("original", "unlearned")}
    original, unlearned = runs["original"], runs["unlearned"]
    oracle = made.store.run(made.oracle).data
    assert original.params["confusion"] == "3,5:9"
    assert original.tags["mu.poison"] == unlearned.tags["mu.poison"] == oracle.tags["mu.poison"]
    spec = load_checkpoint(made.original).spec
    assert spec.data.poison is not None
    assert spec.data.poison.forget == "confusion:3,5:9"
    indices = np.load(made.store.client.download_artifacts(made.unlearned, "forget/indices.npy"))
    assert tuple(indices.tolist()) == spec.data.poison.indices
    assert len(indices) == 18
    for name in ("IC_err", "Fgt", "IC_err_forget", "Fgt_forget"):
        assert unlearned.metrics[f"{name}_before"] == original.metrics[name]
        assert unlearned.metrics[f"{name}_oracle"] == oracle.metrics[name]
        assert name in unlearned.metrics
    assert unlearned.metrics["UA"] == unlearned.metrics["UA_poison"]


def test_the_numbers_are_those_of_a_count_over_the_test_images(made: Made) -> None:
    model = load_checkpoint(made.unlearned).model.eval()
    data = load_data("digits")
    bound = load_checkpoint(made.original).spec.data.bind(data)
    assert isinstance(bound, PlantedDataset)
    mean, std = (torch.tensor(one)[:, None, None] for one in (data.mean, data.std))

    def said(image: torch.Tensor) -> int:
        with torch.no_grad():
            return int(model((image[None] / 255 - mean) / std).argmax())

    errors = confused = count = 0
    for row, label in enumerate(data.test.labels.tolist()):
        if label in (3, 5):
            count += 1
            answer = said(data.test.fetch(torch.tensor([row]))[0])
            errors += answer != label
            confused += answer == 8 - label
    metrics = made.store.run(made.unlearned).data.metrics
    assert metrics["IC_err"] == pytest.approx(100 * errors / count, abs=1e-3)
    assert metrics["Fgt"] == confused
    still = wrong = 0
    for number in bound.poisoned.tolist():
        answer, label = (
            said(data.train.fetch(torch.tensor([number]))[0]),
            int(data.train.labels[number]),
        )
        still += answer == 8 - label
        wrong += answer != label
    assert metrics["IC_err_forget"] == pytest.approx(100 * wrong / 18, abs=1e-3)
    assert metrics["Fgt_forget"] == still
    assert metrics["UA"] == pytest.approx(100 - 100 * still / 18, abs=1e-3)


def test_the_original_is_found_again_however_its_classes_are_written(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("--forget", "confusion:3,5:9", "--method", "ga", "--epochs", "1", "--lr", "0.01")
    assert call("unlearn", *line, *DEVICE) == 0
    assert f"original: run {made.original}" in capsys.readouterr().out
    assert find_original(made.store, {}) is None, "who wants clean data must not get these"
    assert find_original(made.store, {}, poisoned=True) is None


def test_evaluate_knows_it_from_the_spec(made: Made) -> None:
    assert call("evaluate", "--run_id", made.unlearned, "--metrics", "planted", *DEVICE) == 0
    found = next(iter(made.store.find({"mu.entry": "evaluate"}))).data.metrics
    logged = made.store.run(made.unlearned).data.metrics
    for name in ("IC_err", "Fgt", "UA_poison"):
        assert found[name] == logged[name]
        assert found[f"{name}_oracle"] == made.store.run(made.oracle).data.metrics[name]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("--forget", "canary:9"), "confusion:3,5:9"),
        (("--forget", "confusion:3,5:8"), "confusion:3,5:9"),
        (("--forget", "poison"), "was not poisoned"),
        (("--forget", "class:0", "--prune_canaries", "3"), "prune_canaries=3 contradicts run"),
        (("--forget", "class:0", "--prune_confusion", "3,5:8"), "prune_confusion=3,5:8 contra"),
        (("--forget", "class:0", "--trigger", "patch", "--target", "0"), "confusion:3,5:9"),
    ],
)
def test_what_the_original_does_not_have_is_refused_in_one_line(
    made: Made, capsys: pytest.CaptureFixture[str], line: tuple[str, ...], said: str
) -> None:
    assert call("unlearn", "--prune_run_id", made.original, *line, *DEVICE) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert "\n" not in error


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("--forget", "canary:5000"), "prune_canaries: 5000 samples are asked for"),
        (("--forget", "confusion:3,99:5"), "'99'"),
        (("--forget", "canary:5", "--prune_confusion", "3,5:9"), "prune_canaries=5 and confusion"),
        (("--forget", "canary:5", "--prune_canaries", "6"), "canary:6"),
    ],
)
def test_what_cannot_be_planted_is_refused_before_a_run_is_opened(
    store: Store, capsys: pytest.CaptureFixture[str], line: tuple[str, ...], said: str
) -> None:
    assert call("unlearn", *line, *DEVICE) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert "\n" not in error
    assert not list(store.search(""))


def test_a_grid_names_what_is_planted(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"epochs": 2, "train_size": 300, "rate": 0, "confusion": "3,5:9"}
    grid = {"originals": settings, "forget": ["confusion:3,5:9"], "methods": [], "device": "cpu"}
    (tmp_path / "grid.yaml").write_text(json.dumps(grid))
    assert call("sweep", "--grid", str(tmp_path / "grid.yaml"), "--dry_run", "true") == 0
    counts = re.findall(r"│ (\w+) +│ +(\d+) │ +(\d+) │ +(\d+) │", capsys.readouterr().out)
    assert ("originals", "1", "1", "0") in counts
    assert ("oracles", "1", "1", "0") in counts
    grid["forget"] = ["canary:9"]
    (tmp_path / "grid.yaml").write_text(json.dumps(grid))
    assert call("sweep", "--grid", str(tmp_path / "grid.yaml"), "--dry_run", "true") == 2
    assert "confusion:3,5:9" in capsys.readouterr().err


def test_wrong_labels_are_drawn_by_the_seed_of_the_split() -> None:
    def drawn(**seeds: int) -> list[int]:
        given = {"canaries": 9, "seed": 3, "split_seed": 1, **seeds}
        found = task_on(load_data("digits"), given, DeviceOptions(device="cpu")).dataset.poisoned
        return [int(one) for one in found]

    assert drawn(seed=4) == drawn() != drawn(split_seed=2)
