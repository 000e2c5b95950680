"""The main job: prune, unlearn, oracle and gap, by MLflow's launcher and as plain programs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run as MlflowRun
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri
from PIL import Image

import mu
from mu.evaluation.outputs import predict
from mu.report import plots
from mu.rounding import rounded
from mu.tracking import Store
from tests.commands import call
from tests.conftest import PrunedStore
from tests.processes import ROOT, run_python

HAND_OVER = {
    "checkpoint/MLmodel",
    "checkpoint/model.safetensors",
    "checkpoint/requirements.txt",
    "checkpoint/spec.json",
    "config.json",
    "mask/layers.png",
    "mask/mask.safetensors",
    "mask/summary.json",
    "metrics.json",
    "plots/training.png",
}
PRUNED = {*HAND_OVER, "plots/sparsity.png", "report/summary.md"}
UNLEARNED = {
    *HAND_OVER, "forget/indices.npy", "plots/confidence.png", "plots/metrics.png",
    "report/report.html",
}  # fmt: skip
FINGERPRINTS = {"mu.data", "mu.mask", "mu.weights", "mu.spec"}


def launch(entry: str, **parameters: object) -> subprocess.CompletedProcess[str]:
    """``mlflow run`` of this project in the environment that is active."""
    given = [word for name, value in parameters.items() for word in ("-P", f"{name}={value}")]
    return run_python("-m", "mlflow", "run", ".", "-e", entry, "--env-manager", "local", *given)


def files(store: Store, run_id: str) -> list[str]:
    """Paths of all artifacts of a run."""
    uri = store.run(run_id).info.artifact_uri
    if not is_local_uri(uri):
        return list(listed(store, run_id))
    # As listed; but MLflow reads a run three times for each folder that it lists.
    root = Path(local_file_uri_to_path(uri))
    return [str(one.relative_to(root)) for one in root.rglob("*") if one.is_file()]


def listed(store: Store, run_id: str, folder: str | None = None) -> Iterator[str]:
    """The same, by MLflow."""
    for one in store.client.list_artifacts(run_id, folder):
        if one.is_dir:
            yield from listed(store, run_id, one.path)
        else:
            yield one.path


def runs(store: Store, query: str = "") -> list[MlflowRun]:
    return list(store.search(query))


def newest(store: Store, query: str = "") -> MlflowRun:
    return next(store.search(query))


# --- by MLflow's launcher -----------------------------------------------------------------


@pytest.mark.slow
def test_the_main_job_by_the_launcher(store: Store) -> None:
    """One command: the original is made, the oracle trained, and the gap measured."""
    done = launch(
        "unlearn", oracle_run_id="train", epochs=1, forget="class:3", prune_epochs=2, device="cpu"
    )
    assert done.returncode == 0, done.stderr
    assert [run.info.status for run in runs(store)] == ["FINISHED"] * 3
    (original,) = runs(store, "tags.`mu.entry` = 'prune'")
    run_id = original.info.run_id
    assert set(files(store, run_id)) == PRUNED
    assert {"TA", "VA", "train_acc", "loss", "sparsity", "train_s"} <= set(original.data.metrics)
    assert original.data.metrics["sparsity"] == pytest.approx(95, abs=0.1)
    params = original.data.params
    assert (params["arch"], params["epochs"], params["rewind_epoch"]) == ("resnet_mini", "2", "1")
    assert params["dataset"] == "digits"
    assert {"lr", "batch_size", "momentum", "schedule", "val_share", "seed"} <= set(params)
    oracle = newest(store, "params.method = 'retrain'")
    result = newest(store, "params.method = 'l1_sparse'")
    with Image.open(download_artifacts(f"runs:/{run_id}/plots/training.png")) as picture:
        assert picture.width > 400  # painted, unlike those of tests in this process
    for run in (oracle, result):
        assert set(files(store, run.info.run_id)) == UNLEARNED
        metrics = run.data.metrics
        for name in ("UA", "RA", "TA", "MIA", "TA_forgotten"):
            assert 0 <= metrics[name] <= 100
            assert 0 <= metrics[f"{name}_before"] <= 100
        assert metrics["RTE"] > 0
        tags = run.data.tags
        assert FINGERPRINTS | {"mu.forget"} <= set(tags)
        assert tags["mu.upstream"] == run_id
        assert tags["mu.entry"] == "unlearn"
        assert "UA" in tags["mlflow.note.content"]
        assert f"run `{run_id}`" in tags["mlflow.note.content"]
    assert result.data.tags["mu.oracle"] == oracle.info.run_id
    metrics = result.data.metrics
    distances = [
        abs(metrics[name] - oracle.data.metrics[name]) for name in ("UA", "RA", "TA", "MIA")
    ]
    assert metrics["gap"] == pytest.approx(sum(distances) / 4, abs=1e-3)
    assert metrics["speedup"] == pytest.approx(oracle.data.metrics["RTE"] / metrics["RTE"], rel=0.1)
    # The launcher logged it before the original was there; mu.upstream says which one it is.
    assert result.data.params["prune_run_id"] == "auto"
    assert {"lr", "schedule", "alpha", "prune_rate", "arch"} <= set(result.data.params)
    for text in (result.info.run_id, oracle.info.run_id, "gap"):
        assert text in done.stdout
    if (ROOT / ".git").exists():
        assert all(len(run.data.tags["mu.commit"]) == 40 for run in runs(store))


# --- as plain programs --------------------------------------------------------------------

QUICK = ("--epochs", "1", "--device", "cpu")


def test_a_prune_run_tells_what_it_did(pruned: PrunedStore) -> None:
    run = pruned.store.run(pruned.run_id)
    # Another test may have registered the shared model.
    kept = set(files(pruned.store, pruned.run_id)) - {"checkpoint/registered_model_meta"}
    assert kept == PRUNED
    assert set(listed(pruned.store, pruned.run_id)) - {"checkpoint/registered_model_meta"} == kept
    assert set(run.data.tags) >= FINGERPRINTS
    assert pruned.run_id in run.data.tags["mlflow.note.content"]
    assert mu.load_mask(pruned.run_id).sparsity == pytest.approx(95, abs=0.1)
    losses = pruned.store.client.get_metric_history(pruned.run_id, "loss")
    assert [one.step for one in losses] == [0, 1, 2]  # two epochs dense, one rewound and sparse


def test_the_accuracies_of_an_original_are_of_what_they_name(
    pruned: PrunedStore,
) -> None:
    checkpoint, data = mu.load_checkpoint(pruned.run_id), mu.load_data("digits")
    parts, run = checkpoint.spec.split(data), mu.Run(device="cpu")
    logged = pruned.store.run(pruned.run_id).data.metrics
    for name, part in {"train_acc": parts.train, "VA": parts.val}.items():
        accuracy = predict(checkpoint.model, data.training_subset(part), run).accuracy()
        assert logged[name] == rounded(accuracy)
    assert logged["train_acc"] != logged["VA"], "or this says nothing"


def test_the_plot_of_confidence_is_of_the_original_and_then_of_the_unlearned_network(
    pruned: PrunedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []
    monkeypatch.setattr(plots, "plot_confidence", lambda *given: shown.append(given[:2]))
    assert call("unlearn", "--method", "ft", "--lr", "0.1", "--forget", "random:50", *QUICK) == 0
    found, ((before, after),) = newest(pruned.store).data.metrics, shown
    accuracies = [rounded(one.retain.accuracy()) for one in (before, after)]
    assert accuracies == [found["RA_before"], found["RA"]]
    assert accuracies[0] != accuracies[1], "or this says nothing"


def test_the_page_of_a_run_shows_its_data(pruned: PrunedStore) -> None:
    (one,) = pruned.store.run(pruned.run_id).inputs.dataset_inputs
    assert (one.dataset.name, [tag.value for tag in one.tags]) == ("digits", ["training"])
    assert one.dataset.digest == mu.load_data("digits").fingerprint[:16]
    assert json.loads(one.dataset.profile)["train"] == 1437


def test_the_same_seed_gives_the_same_weights_to_the_bit(pruned: PrunedStore) -> None:
    line = (
        "prune",
        "--epochs",
        "2",
        "--train_size",
        "400",
        "--batch_size",
        "16",
        "--device",
        "cpu",
    )
    assert call(*line) == 0
    again = newest(pruned.store)
    first = pruned.store.run(pruned.run_id)
    assert again.info.run_id != pruned.run_id
    for tag in ("mu.weights", "mu.mask", "mu.data", "mu.spec"):
        assert again.data.tags[tag] == first.data.tags[tag]
    assert call(*line, "--seed", "1") == 0
    other = newest(pruned.store).data.tags
    assert other["mu.data"] == first.data.tags["mu.data"]
    assert other["mu.weights"] != first.data.tags["mu.weights"]


def test_auto_finds_the_original_and_find_the_oracle(
    pruned: PrunedStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store = pruned.store
    assert call("unlearn", "--method", "ft", *QUICK) == 0
    alone = newest(store)
    assert alone.data.tags["mu.upstream"] == pruned.run_id
    assert "mu.oracle" not in alone.data.tags
    assert "gap" not in alone.data.metrics
    assert "oracle_run_id=train" in capsys.readouterr().out

    # Hyphens and underscores mean the same; the alias of the paper too.
    assert (
        call("unlearn", "--method=FT", "--oracle-run-id", "train", "--prune-epochs=2", *QUICK) == 0
    )
    assert len(runs(store)) == 4
    (oracle,) = runs(store, "params.method = 'retrain'")
    trained = newest(store, "params.method = 'ft'")
    assert trained.data.tags["mu.weights"] == alone.data.tags["mu.weights"]
    assert trained.data.tags["mu.oracle"] == oracle.info.run_id

    assert call("unlearn", "--method", "l1-sparse", "--prune_epochs", "2", *QUICK) == 0
    found = newest(store)
    assert found.data.params["method"] == "l1_sparse"
    assert found.data.tags["mu.oracle"] == oracle.info.run_id
    assert found.data.metrics["gap"] >= 0

    assert call("unlearn", "--method", "ft", "--oracle_run_id", oracle.info.run_id, *QUICK) == 0
    assert newest(store).data.tags["mu.oracle"] == oracle.info.run_id
    assert call("unlearn", "--method", "ft", "--oracle_run_id", "none", *QUICK) == 0
    assert "mu.oracle" not in newest(store).data.tags
    assert len(runs(store)) == 7


def test_an_oracle_of_another_forget_set_is_refused(
    pruned: PrunedStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("unlearn", "--method", "retrain", "--forget", "class:1", "--device", "cpu") == 0
    oracle = newest(pruned.store).info.run_id
    capsys.readouterr()
    given = ("--forget", "class:2", "--oracle_run_id", oracle)
    assert call("unlearn", "--method", "ft", *given, *QUICK) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"error: run {oracle} is an oracle of other data")
    assert len(runs(pruned.store)) == 2  # it is refused before a run is opened


@pytest.mark.parametrize(("method", "scale"), [("ga", "lr"), ("ft", "lr"), ("l1_sparse", "alpha")])
def test_where_nothing_tells_how_far_to_go_no_run_is_opened(
    store: Store, method: str, scale: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("--prune_val_share", "0", "--forget", "random:9", "--method", method, *QUICK)
    assert call("unlearn", *line) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: nothing says how far to go")
    assert f"give {scale}, or" in errors
    assert errors.count("\n") == 1
    assert runs(store) == []  # not even of the original, which would have been made


@pytest.mark.slow
def test_an_original_is_made_where_none_agrees(
    pruned: PrunedStore, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("--prune_epochs", "1", "--prune_rate", "0", "--method", "ft", "--forget", "random:50")
    assert call("unlearn", *line, *QUICK) == 0
    assert "training one first" in capsys.readouterr().out
    made = newest(pruned.store, "tags.`mu.entry` = 'prune'")
    result = newest(pruned.store, "tags.`mu.entry` = 'unlearn'")
    assert made.info.run_id != pruned.run_id
    assert (made.data.params["epochs"], made.data.params["rate"]) == ("1", "0.0")
    assert result.data.tags["mu.upstream"] == made.info.run_id
    assert mu.load_mask(made.info.run_id).is_dense
    assert call("unlearn", *line, *QUICK) == 0
    assert len(runs(pruned.store, "tags.`mu.entry` = 'prune'")) == 2


@pytest.mark.slow
def test_forgetting_twice(pruned: PrunedStore, capsys: pytest.CaptureFixture[str]) -> None:
    store = pruned.store
    assert call("unlearn", "--forget", "class:0", "--method", "ft", *QUICK) == 0
    first = newest(store).info.run_id
    again = ("unlearn", "--prune_run_id", first, "--method", "ft", *QUICK)
    assert call(*again, "--forget", "class:1:20", "--oracle_run_id", "train") == 0
    second = newest(store, "params.method = 'ft'")
    assert second.data.tags["mu.upstream"] == first
    assert second.data.metrics["gap"] >= 0
    forgotten = [
        np.load(download_artifacts(run_id=one, artifact_path="forget/indices.npy"))
        for one in (first, second.info.run_id)
    ]
    assert np.intersect1d(*forgotten).size == 0
    spec = mu.load_checkpoint(second.info.run_id).spec
    assert spec.removed == tuple(np.sort(np.concatenate(forgotten)).tolist())
    assert spec.history == ("pruned", "ft", "ft")
    data = mu.load_data("digits")
    assert not np.isin(spec.split(data).train, np.concatenate(forgotten)).any()
    capsys.readouterr()
    # The original's own settings are compared, not those of the method that changed it.
    assert call(*again, "--forget", "class:1:5", "--prune_epochs", "2") == 0
    assert call(*again, "--forget", "class:1:5", "--prune_epochs", "1") == 2
    assert "prune_epochs=1 contradicts" in capsys.readouterr().err
    assert call(*again, "--forget", "class:0") == 2  # there is none of it left
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.slow
def test_auto_and_none_ask_for_nothing(pruned: PrunedStore) -> None:
    given = ("--stem", "auto", "--arch", "auto", "--prune_rewind_epoch", "auto")
    line = ("--method", "ft", *given, "--image_size", "none", *QUICK)
    assert call("unlearn", "--prune_run_id", pruned.run_id, *line) == 0
    assert call("unlearn", *line) == 0
    assert len(runs(pruned.store, "tags.`mu.entry` = 'prune'")) == 1


def picture_folder(root: Path, seed: int) -> str:
    """A folder of two class folders with random pictures."""
    draws = np.random.default_rng(seed)
    for name in ("ants", "bees"):
        (root / name).mkdir(parents=True)
        for number in range(15):
            pixels = draws.integers(0, 256, (8, 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return str(root)


@pytest.mark.slow
def test_auto_tells_two_folders_of_the_same_kind_apart(pruned: PrunedStore, tmp_path: Path) -> None:
    store = pruned.store
    for number in (1, 2):
        folder = picture_folder(tmp_path / f"pictures{number}", seed=number)
        data = ("--dataset", "imagefolder", "--data_dir", folder, "--arch", "resnet_mini")
        line = (*data, "--prune_epochs", "1", "--method", "ft", "--forget", "random:3", *QUICK)
        assert call("unlearn", *line) == 0
        assert call("unlearn", *line) == 0  # the second time it is found again
        made = runs(store, "tags.`mu.entry` = 'prune' and params.dataset = 'imagefolder'")
        assert len(made) == number


def test_data_that_moved_is_still_the_same(pruned: PrunedStore, tmp_path: Path) -> None:
    first = picture_folder(tmp_path / "first", seed=1)
    data = ("--dataset", "imagefolder", "--arch", "resnet_mini")
    assert call("prune", *data, "--data_dir", first, *QUICK) == 0
    original = newest(pruned.store).info.run_id
    moved = picture_folder(tmp_path / "moved", seed=1)
    other = picture_folder(tmp_path / "other", seed=2)
    line = ("--prune_run_id", original, "--method", "ft", "--forget", "random:3", *QUICK)
    assert call("unlearn", *line, "--data_dir", moved) == 0
    assert call("unlearn", *line, "--data_dir", other) == 2


@pytest.mark.slow
def test_a_choice_called_none_is_that_choice_and_what_is_logged_is_what_was_used(
    pruned: PrunedStore,
) -> None:
    store = pruned.store
    assert call("prune", *QUICK, "--augment", "crop_flip", "--rate", "0") == 0
    original = newest(store).info.run_id
    line = ("--prune_run_id", original, "--method", "ft", *QUICK)
    used = {}
    for given in ((), ("--augment", "crop_flip"), ("--augment", "none")):
        assert call("unlearn", *line, *given) == 0
        run = newest(store)
        used[given] = (run.data.params["augment"], run.data.tags["mu.weights"])
        assert run.data.params["batch_size"] == "64"  # the original's, since none was given
    inherited, said, none = used.values()
    assert inherited == said
    assert inherited[0] == "crop_flip"
    assert none[0] == "none"
    assert none[1] != said[1]
