"""The same seed gives the same bits, whatever the number of cores; ``threads`` says otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from mu import threads
from mu.cli.requests import DeviceOptions
from mu.data import load_data
from mu.errors import UserError
from mu.evaluation.outputs import predict
from mu.models import ModelSpec
from mu.originals.train import make_recipe, train_original
from mu.runs import Run
from mu.tasks.base import record_rounding, run_task
from mu.tasks.problem import TrainTask
from mu.tracking import Recorder, Store, connect
from tests.commands import call
from tests.conftest import copy_store, store_uri
from tests.processes import ROOT, environment
from tests.test_main_job import newest

DATA = load_data("digits")
SHORT = ("--prune_epochs", "2", "--prune_train_size", "100")


@pytest.fixture(autouse=True)
def _threads_of_the_tests() -> Iterator[None]:
    yield
    threads.compute_with(1)


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which torch would start with eight threads."""
    monkeypatch.setattr(threads, "_TORCHS", 8)
    monkeypatch.delenv("OMP_NUM_THREADS")


def suited(arch: str, *shape: int) -> int:
    channels, height, width = shape
    spec = ModelSpec.for_images(arch, "auto", 10, (channels, height, width))
    return threads.suited(spec.build(0), (channels, height, width))


# --- the rule -----------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ["resnet_mini", "resnet14", "resnet20"])
def test_small_networks_on_small_images_get_one(arch: str, eight_cores: None) -> None:
    assert suited(arch, 1, 8, 8) == 1


@pytest.mark.parametrize(("arch", "side"), [("resnet20", 32), ("resnet18", 8), ("resnet18", 32)])
def test_others_get_the_cores(arch: str, side: int, eight_cores: None) -> None:
    assert suited(arch, 3, side, side) == 8


def test_ranks_share_the_cores(eight_cores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": 1, "WORLD_SIZE": 3, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 3}.items():
        monkeypatch.setenv(name, str(value))
    assert suited("resnet20", 3, 32, 32) == 2
    assert suited("resnet20", 1, 8, 8) == 1


def test_omp_num_threads_counts_for_each_rank(
    eight_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")  # what torch started with
    assert suited("resnet20", 3, 32, 32) == 8
    assert suited("resnet20", 1, 8, 8) == 1


# --- what a run does ----------------------------------------------------------------------


def weights(number: int | None, started_with: int) -> torch.Tensor:
    """Of a short training and, by it, of a pass over the test set."""
    torch.set_num_threads(started_with)  # by whatever ran before, or by the cores there are
    recipe = make_recipe(DATA, epochs=2, train_size=300, rate=0.5)
    run = Run(device="cpu", threads=number)
    model = train_original(DATA, recipe, run).model
    assert run.threads == (number or 1)
    logits = predict(model, DATA.test_subset(), run).logits
    return torch.cat([v.flatten().double() for v in [*model.state_dict().values(), logits]])


def test_by_default_the_number_of_cores_changes_no_bit() -> None:
    assert torch.equal(weights(None, 1), weights(None, 2))


def test_a_number_that_is_given_is_used_for_all_networks(eight_cores: None) -> None:
    for number in (3, 2):
        run = Run(device="cpu", threads=number)
        for arch, side in (("resnet_mini", 8), ("resnet18", 8)):
            run.place(ModelSpec.for_images(arch, "auto", 10, (1, side, side)).build(0), (1, 8, 8))
            assert torch.get_num_threads() == number


def test_another_run_does_not_keep_the_number() -> None:
    one, other = Run(device="cpu", threads=2), Run(device="cpu")
    model = ModelSpec.for_images("resnet_mini", "auto", 10, DATA.shape).build(0)
    for run, number in ((one, 2), (other, 1), (one, 2)):
        predict(model, DATA.test_subset(), run)
        assert torch.get_num_threads() == number


@pytest.mark.parametrize("wrong", ["0", "-1", "two", "1025"])
def test_what_is_no_number_of_threads_is_refused(
    wrong: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("unlearn", "--threads", wrong) == 2
    assert f"threads={wrong}" in capsys.readouterr().err.replace("'", "").replace(" ", "=", 1)


def test_numpys_and_scipys_algebra_follows(eight_cores: None) -> None:
    model = ModelSpec.for_images("resnet_mini", "auto", 10, DATA.shape).build(0)
    draws = np.random.default_rng(0)
    one, other = draws.normal(size=(2, 100_000))
    found = []
    for started_with in (1, 2):
        threads.compute_with(started_with)
        Run(device="cpu").place(model, DATA.shape)
        pools = threadpool_info()
        assert {pool["num_threads"] for pool in pools if pool["user_api"] == "blas"} == {1}
        found.append(np.dot(one, other))
    assert found[0] == found[1]


# --- what is recorded ---------------------------------------------------------------------


def test_runs_record_it_and_no_key_depends_on_it(store: Store) -> None:
    keys = []
    for given, recorded in (((), "1"), (("--threads", "2"), "2")):
        assert call("prune", "--epochs", "1", "--train_size", "50", "--rate", "0", *given) == 0
        run = newest(store, "tags.`mu.entry` = 'prune'")
        assert run.data.params["threads"] == recorded
        config = store.client.download_artifacts(run.info.run_id, "config.json")
        kept = json.loads(Path(config).read_text())
        assert kept["threads"] == int(recorded)
        assert kept["precision"] == run.data.params["precision"] != "auto"
        keys.append(run.data.tags["mu.original_key"])
    assert keys[0] == keys[1]


@pytest.mark.slow
def test_an_oracle_of_another_number_of_threads_is_found(store: Store) -> None:
    line = (*SHORT, "--epochs", "1", "--oracle_run_id", "train")
    assert call("unlearn", *line) == 0
    assert call("unlearn", *line, "--threads", "2") == 0
    second, first = store.search("params.method = 'l1_sparse'")
    for name in ("mu.upstream", "mu.oracle", "mu.cell", "mu.forget"):
        assert second.data.tags[name] == first.data.tags[name]
    assert (second.data.params["threads"], first.data.params["threads"]) == ("2", "1")


def test_documents_name_it_only_where_it_was_given() -> None:
    """So runs that versions without it began are the same task today."""
    task = TrainTask(DATA, make_recipe(DATA), DeviceOptions(device="cpu"))
    assert "threads" not in task.document()
    given = replace(task, device=DeviceOptions(device="cpu", threads=2)).document()
    assert given == {**task.document(), "threads": 2}


@pytest.mark.parametrize(("now", "notes"), [(1, 0), (2, 1)])
def test_a_run_that_is_continued_with_another_number_says_so(
    store: Store, now: int, notes: int
) -> None:
    run = Run(device="cpu")

    def work(recorder: Recorder) -> str:
        torch.set_num_threads(1)
        record_rounding(recorder, run)
        recorder.flush()
        torch.set_num_threads(now)
        record_rounding(recorder, run, resumed=True)
        return recorder.run_id

    run_id = run_task(store, "prune", "a title", work)[0]
    assert store.run(run_id).data.params["threads"] == "1"
    assert len(run.notes) == notes
    assert all("threads=1" in one and f"threads={now}" in one for one in run.notes)


# --- real processes -----------------------------------------------------------------------


# As the entry point starts, but that what takes long is short.
SOON = """
from mu import environment
environment.prepare()
import runpy, tests.soon
tests.soon.relearn_soon()
tests.soon.paint_nothing()
tests.soon.light_stores()
runpy.run_module("entrypoints.unlearn", run_name="__main__")
"""


@pytest.mark.slow
def test_the_main_job_gives_the_same_bits_on_one_core_and_on_all(
    empty_store: Path, tmp_path: Path
) -> None:
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("this machine has one core")
    command = [sys.executable, "-c", SOON, "--oracle_run_id", "train"]
    variables = environment()
    del variables["OMP_NUM_THREADS"]  # as a user has it
    found = []
    for number, used in enumerate(({min(cores)}, cores)):
        uri = store_uri(copy_store(empty_store, tmp_path / str(number)))
        subprocess.run(
            [*command, *SHORT, "--epochs", "2"],
            cwd=ROOT,
            env={**variables, "MLFLOW_TRACKING_URI": uri},
            preexec_fn=lambda used=used: os.sched_setaffinity(0, used),  # type: ignore[misc]
            check=True,
            capture_output=True,
        )
        runs = [run.data for run in connect(uri).search("")]
        assert {run.params["threads"] for run in runs} == {"1"}
        times = ("RTE", "train_s", "speedup", "peak_memory_mb")
        found.append(
            {
                run.tags["mlflow.runName"]: (
                    run.tags["mu.weights"],
                    {name: value for name, value in run.metrics.items() if name not in times},
                )
                for run in runs
            }
        )
    assert len(found[0]) == 3
    assert found[0] == found[1]


def test_refusals_name_the_option() -> None:
    with pytest.raises(UserError, match="threads"):
        DeviceOptions(threads=0)
