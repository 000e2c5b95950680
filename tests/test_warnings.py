"""Warnings about results where users meet them: terminal, runs, comparisons, ``mu show``."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.entities import Run as MlflowRun

from mu.cli.showing import command as show
from mu.evaluation.controls import CONTROLS
from mu.tasks.perform import oracles_gap
from mu.tracking import Store, connect
from tests.commands import Program
from tests.conftest import FinishedUnlearn, PrunedStore, store_uri
from tests.test_compare import kept

WORDS = "it was not trained as well as the original"


def newest(store: Store, query: str) -> MlflowRun:
    return next(store.search(query))


def note_of(run: MlflowRun) -> str:
    return str(run.data.tags["mlflow.note.content"])


@pytest.mark.slow
def test_a_network_that_was_imported_with_a_recipe_that_was_not_its(
    pruned: PrunedStore, program: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything of it is told, from the terminal of the unlearning to the comparison's files."""
    store = pruned.store
    weights = store.client.download_artifacts(
        pruned.run_id, "checkpoint/model.safetensors", str(tmp_path)
    )
    line = f"import {weights} --dataset digits --train_size 300 --epochs 1 --lr 0.00001"
    assert program(f"{line} --device cpu")[0] == 0
    original = newest(store, "tags.`mu.entry` = 'prune'").info.run_id
    line = f"unlearn --prune_run_id {original} --forget class:3 --device cpu"
    status, out, _ = program(f"{line} --method ft --epochs 1 --oracle_run_id train")
    assert status == 0
    assert "warning: the oracle has RA " in out
    assert WORDS in out
    run = newest(store, "tags.`mu.warnings` LIKE '%oracle_fit%' and params.method = 'ft'")
    assert "**Warning** (oracle_fit): the oracle has RA" in note_of(run)
    assert run.data.metrics["MIA_fit_auc_lo_before"] <= run.data.metrics["MIA_fit_auc_before"]
    oracle = newest(store, "tags.`mu.warnings` LIKE '%oracle_fit%' and params.method = 'retrain'")
    assert "so a gap to it says little" in note_of(oracle)

    run_id = run.info.run_id
    status, out, _ = program(f"evaluate --run_id {run_id} --metrics accuracy,gap --device cpu")
    assert (status, WORDS in out) == (0, True)
    evaluation = newest(store, "tags.`mu.entry` = 'evaluate'")
    assert "oracle_fit" in evaluation.data.tags["mu.warnings"]
    assert WORDS in note_of(evaluation)

    status, out, _ = program(f"compare --run_ids {run_id}")
    assert (status, WORDS in out) == (0, True)
    for name in ("report.html", "table.md", "table.html", "table.tex"):
        assert WORDS in kept(store, f"report/{name}", tmp_path)
    rows = csv.DictReader(kept(store, "report/table.csv", tmp_path).splitlines())
    assert all(
        "oracle_fit" in row["warnings"].split() for row in rows if row["method"] not in CONTROLS
    )
    assert WORDS in note_of(newest(store, "tags.`mu.entry` = 'compare'"))

    capsys.readouterr()
    show.main([run_id], standalone_mode=False)
    assert WORDS in capsys.readouterr().out


def test_a_method_that_did_nothing(pruned: PrunedStore, program: Program) -> None:
    line = f"unlearn --prune_run_id {pruned.run_id} --forget class:3 --device cpu"
    status, out, _ = program(f"{line} --method iu --alpha 1e-30")
    assert (status, "warning: the method left all weights as they were" in out) == (0, True)
    tag = newest(pruned.store, "params.method = 'iu'").data.tags["mu.warnings"].split(",")
    assert "unchanged" in tag
    assert "oracle_fit" not in tag


def test_the_distance_between_oracles_is_of_those_that_differ_in_their_seed(
    finished_unlearn: FinishedUnlearn,
) -> None:
    store = connect(store_uri(finished_unlearn.path))
    one, other = (store.run(run_id).data.metrics for run_id in finished_unlearn.oracles)
    expected = sum(abs(one[name] - other[name]) for name in ("UA", "RA", "TA", "MIA")) / 4
    assert oracles_gap(store, finished_unlearn.oracles[0]) == pytest.approx(expected)


def test_an_oracle_that_was_made_twice_is_one_of_its_seed() -> None:
    found = []
    for run_id, (seed, accuracy) in enumerate([("0", 90.0), ("1", 98.0), ("0", 90.0)]):
        numbers = {"UA": 0.0, "RA": accuracy, "TA": 50.0, "MIA": 0.0}
        data = SimpleNamespace(tags={}, params={"seed": seed}, metrics=numbers)
        found.append(SimpleNamespace(info=SimpleNamespace(run_id=f"{run_id}"), data=data))
    store: Any = SimpleNamespace(run=lambda _: found[0], find=lambda *_: found)
    assert oracles_gap(store, "0") == 2.0
