"""The transfer entry: unlearn, train on for a target, compare; its run, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run as MlflowRun
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

import mu
from mu.cli.requests import DeviceOptions, Request, TransferOptions
from mu.errors import UserError
from mu.evaluation.outputs import predict
from mu.rounding import rounded
from mu.runs import Run
from mu.tasks import export as export_task
from mu.tasks import resolve, transfer_models
from mu.tracking import Store, fetch_checkpoint
from tests.commands import Program, call, run_count
from tests.conftest import FinishedPrune, PrunedStore, copy_store, store_uri
from tests.helpers import refused
from tests.test_main_job import FINGERPRINTS, HAND_OVER, files
from tests.transfer.targets import bright

BRIGHT = "tests.transfer.targets:bright"
TO_BRIGHT = f"--target {BRIGHT} --transfer_epochs 2 --device cpu"
FT = "--method ft --epochs 1 --forget class:3,4"


@dataclass(frozen=True)
class Done:
    """A store with an original, a transfer with everything below it, and an unlearn run beside."""

    store: Store
    original: str
    transfer: MlflowRun
    unlearned: MlflowRun
    oracle: MlflowRun
    beside: str
    out: str


@pytest.fixture(scope="module")
def made(
    finished_prune: FinishedPrune, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The store, and what the transfer said."""
    folder = tmp_path_factory.mktemp("transferred")
    path, said = copy_store(finished_prune.path, folder), folder / "said.txt"
    line = f"{FT} --oracle_run_id train {TO_BRIGHT} --seed 2"
    common = ("--prune_run_id", finished_prune.run_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
        chosen = ("--method", "ft", "--epochs", "1", "--forget", "random:20", "--device", "cpu")
        assert call("unlearn", *chosen, *common) == 0
        with said.open("w") as file, redirect_stdout(file):
            assert call("transfer", *line.split(), *common) == 0
    return path, said


@pytest.fixture
def done(
    made: tuple[Path, Path], finished_prune: FinishedPrune, copied: Callable[[Path], Store]
) -> Done:
    path, said = made
    store = copied(path)
    (run,) = store.search("tags.`mu.entry` = 'transfer'")
    (oracle,) = store.search("params.method = 'retrain'")
    first, beside = store.search("tags.`mu.entry` = 'unlearn' and params.method = 'ft'")
    return Done(
        store, finished_prune.run_id, run, first, oracle, beside.info.run_id, said.read_text()
    )


def newest(store: Store) -> MlflowRun:
    return next(store.search("tags.`mu.entry` = 'transfer'"))


def parent(run: MlflowRun) -> str | None:
    found = run.data.tags.get(MLFLOW_PARENT_RUN_ID)
    return None if found is None else str(found)


def artifact(store: Store, run: MlflowRun, path: str) -> Path:
    run_id = run.info.run_id
    return Path(download_artifacts(run_id=run_id, artifact_path=path, tracking_uri=store.uri))


# --- what a transfer leaves ---------------------------------------------------------------


@pytest.mark.slow
def test_the_unlearning_and_the_oracle_are_runs_below_the_transfer(done: Done) -> None:
    assert done.transfer.info.status == "FINISHED"
    assert parent(done.transfer) is None
    assert parent(done.unlearned) == done.transfer.info.run_id
    assert parent(done.oracle) == done.unlearned.info.run_id
    tags = done.transfer.data.tags
    assert tags["mu.upstream"] == done.unlearned.info.run_id
    assert tags["mu.oracle"] == done.oracle.info.run_id
    assert tags["mu.forget"] == done.unlearned.data.tags["mu.forget"]
    assert tags["mu.data"] == bright().fingerprint[:16]
    assert set(tags) >= FINGERPRINTS
    assert "mu.oracle_key" not in tags


def test_its_numbers_are_those_of_the_networks_and_of_the_unlearning(done: Done) -> None:
    metrics, upstream = done.transfer.data.metrics, done.unlearned.data.metrics
    for name in ("UA", "RA", "TA", "MIA", "UA_before", "TA_before", "gap", "RTE"):
        assert metrics[name] == upstream[name]
    own = mu.load_checkpoint(done.transfer.info.run_id)
    target, run = own.spec.data.bind(bright()), Run(device="cpu")
    measured = predict(own.model, target.test_subset(), run).accuracy()
    assert metrics["target_acc"] == rounded(measured)
    gain = metrics["target_acc"] - metrics["target_acc_before"]
    assert metrics["target_gain"] == pytest.approx(gain)
    assert metrics["target_gain_lo"] < metrics["target_gain"] < metrics["target_gain_hi"]
    gain = metrics["target_acc_oracle"] - metrics["target_acc_before"]
    assert metrics["target_gain_oracle"] == pytest.approx(gain)
    assert metrics["sparsity"] == upstream["sparsity"]
    assert metrics["transfer_s"] > 0
    assert {"target_train_acc", "target_train_acc_before", "target_train_acc_oracle"} <= set(
        metrics
    )
    kept = json.loads(artifact(done.store, done.transfer, "metrics.json").read_text())
    assert kept == {name: metrics[name] for name in kept}
    assert set(metrics) - set(kept) == {"loss", "lr", "train_acc"}


def test_the_curves_are_those_of_the_unlearned_network_alone(done: Done) -> None:
    run_id = done.transfer.info.run_id
    for name in ("loss", "lr", "train_acc"):
        history = done.store.client.get_metric_history(run_id, name)
        assert [one.step for one in history] == [0, 1]


def test_its_checkpoint_is_the_transferred_unlearned_network(done: Done) -> None:
    assert set(files(done.store, done.transfer.info.run_id)) == {
        *HAND_OVER, "plots/target.png", "report/summary.md",
    }  # fmt: skip
    own = mu.load_checkpoint(done.transfer.info.run_id)
    before = mu.load_checkpoint(done.unlearned.info.run_id)
    assert own.spec.history == ("pruned", "ft", "transfer")
    assert own.spec.data.name == BRIGHT
    assert (own.spec.data.mean, own.spec.data.std) == (before.spec.data.mean, before.spec.data.std)
    assert own.mask == before.mask == mu.load_mask(done.transfer.info.run_id)
    state, kept = own.model.state_dict(), before.model.state_dict()
    moved = {n for n in state if state[n].shape != kept[n].shape or (state[n] != kept[n]).any()}
    assert moved == {"fc.weight", "fc.bias"}
    model = mu.load_model(done.transfer.info.run_id)
    assert all((model.state_dict()[name] == state[name]).all() for name in state)


def test_what_it_says_and_what_its_page_says(done: Done) -> None:
    metrics = done.transfer.data.metrics
    for words in ("original", "ft", "oracle (retrain)", "target_acc", "target_gain", "class:3,4"):
        assert words in done.out
        assert words in done.transfer.data.tags["mlflow.note.content"]
    for run in (done.transfer, done.unlearned, done.oracle):
        assert run.info.run_id in done.out
    assert f"{metrics['target_acc_oracle']:.2f}" in done.out
    assert f"{metrics['target_gain_hi']:+.2f}" in done.out
    assert "mu-transfer" in done.out
    params = done.transfer.data.params
    assert (params["target"], params["tune"], params["seed"]) == (BRIGHT, "head", "2")
    assert (params["transfer_epochs"], params["transfer_lr"]) == ("2", "0.1")
    assert (params["prune_run_id"], params["forget"]) == (done.original, "class:3,4")
    assert params["unlearn_run_id"] == done.unlearned.info.run_id


# --- from a finished unlearn run ----------------------------------------------------------


def test_a_finished_unlearn_run_gives_the_same_without_its_source(
    done: Done, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "data_of", lambda *_: pytest.fail("the source was read"))
    before, run_id = run_count(done.store), done.unlearned.info.run_id
    status, out, _ = program(f"transfer --unlearn_run_id {run_id} {TO_BRIGHT} --seed 2")
    assert status == 0
    assert run_count(done.store) == before + 1
    again, first = newest(done.store), done.transfer
    seconds = {"transfer_s": 0}
    assert {**again.data.metrics, **seconds} == {**first.data.metrics, **seconds}
    assert again.data.tags["mu.weights"] == first.data.tags["mu.weights"]
    assert again.data.tags["mu.upstream"] == run_id
    assert again.data.params == first.data.params
    assert done.oracle.info.run_id in out


def test_it_is_warned_of_an_oracle_that_does_not_fit(done: Done) -> None:
    done.store.client.log_metric(done.oracle.info.run_id, "RA", 1.0, step=1000)
    options = TransferOptions(unlearn_run_id=done.unlearned.info.run_id)
    source = transfer_models.make_source(options, Request(), DeviceOptions(device="cpu"))
    assert "oracle_fit" in {one.rule for one in source.models("").alarms}


def test_what_agrees_with_the_run_may_be_said_again(done: Done, program: Program) -> None:
    line = f"transfer --unlearn_run_id {done.unlearned.info.run_id} {TO_BRIGHT}"
    said = (
        f"--prune_run_id {done.original} --method FT --epochs 1 --forget class:4,3 --prune_seed 0"
    )
    assert program(f"{line} {said} --arch resnet_mini --oracle_run_id none")[0] == 0
    metrics = newest(done.store).data.metrics
    assert "target_acc_oracle" not in metrics
    assert "mu.oracle" not in newest(done.store).data.tags


@pytest.mark.slow
def test_an_oracle_is_trained_for_a_finished_run(done: Done, program: Program) -> None:
    line = f"transfer --unlearn_run_id {done.beside} {TO_BRIGHT} --tune all --oracle_run_id train"
    assert program(line)[0] == 0
    run = newest(done.store)
    oracle = next(done.store.search("params.method = 'retrain'"))
    assert run.data.tags["mu.oracle"] == oracle.info.run_id != done.oracle.info.run_id
    assert parent(oracle) == run.info.run_id
    original = fetch_checkpoint(done.store, done.original)
    own = mu.load_checkpoint(run.info.run_id)
    assert own.mask == original.mask
    pruned = ~own.mask["conv1.weight"]
    assert pruned.any()
    assert not own.model.state_dict()["conv1.weight"][pruned].any()
    again = f"transfer --unlearn_run_id {done.beside} {TO_BRIGHT}"
    assert program(again)[0] == 0
    assert newest(done.store).data.tags["mu.oracle"] == oracle.info.run_id, "found by fingerprint"


def test_an_oracle_itself_can_be_transferred(done: Done, program: Program) -> None:
    status, out, _ = program(f"transfer --unlearn_run_id {done.oracle.info.run_id} {TO_BRIGHT}")
    assert status == 0
    assert "no oracle" not in out
    metrics = newest(done.store).data.metrics
    assert metrics["target_acc_before"] == rounded(metrics["target_acc"] - metrics["target_gain"])


def test_auto_takes_the_newest_unlearn_run(done: Done, program: Program) -> None:
    assert program(f"transfer --unlearn_run_id auto {TO_BRIGHT}")[0] == 0
    tags = newest(done.store).data.tags
    assert tags["mu.upstream"] == done.unlearned.info.run_id
    assert tags["mu.weights"] != done.transfer.data.tags["mu.weights"], "another seed"


def test_what_contradicts_the_run_is_refused(done: Done, program: Program) -> None:
    run_id, count = done.unlearned.info.run_id, run_count(done.store)
    line = f"transfer --unlearn_run_id {run_id} {TO_BRIGHT}"
    program.refuses(f"{line} --method l1_sparse", "method=l1_sparse", run_id, "method=ft")
    program.refuses(f"{line} --epochs 3", "epochs=3", "epochs=1", "leave epochs out")
    program.refuses(f"{line} --forget class:3", "forget=class:3", "class:3,4", "leave forget out")
    program.refuses(f"{line} --forget klass:3", "klass:3")
    program.refuses(f"{line} --prune_run_id {done.beside}", done.beside, done.original)
    program.refuses(f"{line} --prune_rate 0.5", "prune_rate=0.5", "rate=0.95")
    program.refuses(f"{line} --dataset mnist", "dataset=mnist", "dataset=digits")
    program.refuses(f"{line} --stage cleansed", "stage=cleansed")
    program.refuses(f"{line} --oracle_run_id {done.beside}", done.beside, "no oracle")
    program.refuses(f"{line} --alpha 3", "'alpha'", "not of transfer with method=ft")
    assert run_count(done.store) == count


# --- other ways to begin ------------------------------------------------------------------


def test_a_forget_set_said_again_has_its_copies_as_the_run_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sets = {"keep": SimpleNamespace(forget=np.array([3])), "forget": SimpleNamespace(forget=[3, 7])}
    monkeypatch.setattr(transfer_models, "forget_split", lambda *given: sets[given[3].duplicates])
    run: Any = SimpleNamespace(run_id="id", params={"forget": "files:a", "duplicates": "keep"})
    problem: Any = SimpleNamespace(spec=None, dataset=None, split=sets["keep"])
    transfer_models._refuse_other_forget_set(run, "class:0", lambda: problem)


@pytest.mark.slow
def test_an_original_that_is_made_for_it_is_shown_below_it(store: Store, program: Program) -> None:
    line = "transfer --prune_epochs 1 --prune_train_size 200 --forget random:20 --method ft"
    status, out, _ = program(f"{line} --epochs 1 {TO_BRIGHT}")
    assert status == 0
    run = newest(store)
    (original,) = store.search("tags.`mu.entry` = 'prune'")
    assert parent(original) == run.info.run_id
    assert run.data.params["prune_run_id"] == original.info.run_id
    assert "oracle_run_id=train" in out


@pytest.mark.slow
def test_a_transfer_that_fails_says_so_and_leaves_the_unlearning(
    pruned: PrunedStore, program: Program
) -> None:
    line = f"transfer --prune_run_id {pruned.run_id} {FT} {TO_BRIGHT} --tune all"
    status, _, errors = program(f"{line} --transfer_lr 1e30")
    assert status == 2
    assert "transfer of original" in errors
    assert "lower transfer_lr=1e+30" in errors
    assert newest(pruned.store).info.status == "FAILED"
    (left,) = pruned.store.search("tags.`mu.entry` = 'unlearn'")
    assert left.info.status == "FINISHED"
    assert program(f"transfer --unlearn_run_id {left.info.run_id} {TO_BRIGHT}")[0] == 0


# --- what is no original ------------------------------------------------------------------


def test_a_transferred_network_is_no_original(done: Done, program: Program) -> None:
    run_id, why = done.transfer.info.run_id, "trained on for other data"
    count = run_count(done.store)
    program.refuses(f"unlearn --prune_run_id {run_id}", run_id, "entry transfer", why)
    program.refuses(f"transfer --prune_run_id {run_id} {TO_BRIGHT}", run_id, why)
    program.refuses(f"evaluate --run_id {run_id} --forget class:0", run_id, why)
    program.refuses(f"prune --mask_run_id {run_id}", run_id, why)
    program.refuses(f"transfer --unlearn_run_id {run_id} {TO_BRIGHT}", run_id, "unlearned nothing")
    program.refuses(f"lira --unlearn_run_id {run_id}", run_id, "unlearned nothing")
    assert run_count(done.store) == count


def test_it_can_be_exported(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(checkpoint: mu.Checkpoint, *_: object) -> None:
        raise UserError(f"the network of {checkpoint.spec.data.name}")

    monkeypatch.setattr(export_task, "data_of", lambda *_: None)
    monkeypatch.setattr(export_task, "make", make)
    with refused(BRIGHT):
        export_task.export(Request(entry={"run_id": done.transfer.info.run_id}))


# --- mistakes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        ("transfer", ("give target", "target_dir=DIR")),
        ("transfer --target oxford_pet", ("target 'oxford_pet'", "did you mean oxford_pets")),
        ("transfer --target digits --tune heads", ("tune 'heads'", "did you mean head")),
        ("transfer --target digits --transfer_lr 0", ("transfer_lr=0.0", "above 0")),
        ("transfer --target digits --transfer_warmup 30", ("transfer_warmup=30", "epochs=20")),
        ("transfer --target digits --transfer_epoch 3", ("transfer_epoch", "transfer_epochs")),
        ("transfer --target digits --method fft", ("method 'fft'", "did you mean")),
        ("transfer --target digits --forget klass:0", ("klass:0", "class:0,3,7")),
        ("transfer --target digits --seed -1", ("seed=-1", "at least 0")),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_before_a_store_is_opened(
    program: Program, line: str, texts: tuple[str, ...]
) -> None:
    program.refuses(line, *texts)


def test_a_target_that_is_not_there_or_does_not_fit_is_refused(
    pruned: PrunedStore, program: Program, tmp_path: Path
) -> None:
    count = run_count(pruned.store)
    line = f"transfer --prune_run_id {pruned.run_id} --device cpu --target"
    program.refuses(f"{line} imagefolder", "target=imagefolder needs target_dir")
    nowhere = tmp_path / "nowhere"
    program.refuses(f"{line} imagefolder --target_dir {nowhere}", "target_dir", str(nowhere))
    program.refuses(f"{line} digits --target_stream true", "target_stream=True", "digits")
    coloured = "tests.transfer.targets:coloured"
    other = "tests.transfer.targets:of_another_kind"
    program.refuses(f"{line} {other}", other, "accepts data_dir and image_size by name")
    program.refuses(f"{line} {coloured}", coloured, "3x8x8", "original takes 1x8x8")
    program.refuses(f"transfer --unlearn_run_id {pruned.run_id} --target {BRIGHT}", "entry prune")
    program.refuses(f"transfer --unlearn_run_id nonsense --target {BRIGHT}", "nonsense")
    program.refuses(f"transfer --unlearn_run_id auto --target {BRIGHT}", "no finished unlearn run")
    assert run_count(pruned.store) == count


def test_an_unfinished_unlearn_run_is_refused(done: Done, program: Program) -> None:
    done.store.client.set_terminated(done.beside, "FAILED")
    done.store.client.update_run(done.beside, status="FAILED")
    program.refuses(
        f"transfer --unlearn_run_id {done.beside} {TO_BRIGHT}", done.beside, "FAILED", "FINISHED"
    )


def test_a_network_without_a_head_is_refused_before_a_run_is_opened(
    store: Store, program: Program
) -> None:
    line = f"transfer --arch tests.transfer.test_checkpoint:headless --prune_epochs 1 {TO_BRIGHT}"
    program.refuses(line, "headless", "the network has no head", "use another arch")
    assert run_count(store) == 0
