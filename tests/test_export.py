"""The command mu export and the entry export: files that others load, and what is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow.entities import Run as MlflowRun
from numpy.typing import NDArray

import mu
from mu.cli.requests import Request
from mu.compact.sparse import choose
from mu.data.batches import Batches
from mu.report.model_card import LOAD
from mu.tags import ENTRY, EVALUATION, RETIRED, UPSTREAM
from mu.tasks import export_files
from mu.tasks.export import export
from mu.tasks.export_images import accuracies, calibrating, compared
from mu.tasks.prune import prune
from mu.tasks.resolve import data_of
from mu.tracking import Store
from mu.tracking.registered import register, set_alias
from tests.commands import call
from tests.compact.test_sparse import times
from tests.conftest import UnlearnedStore
from tests.helpers import mostly_slow
from tests.test_main_job import files

# What a user's program has: no mu, and only what the card says that it needs.
ELSEWHERE = """
import sys

sys.modules["mu"] = None
import numpy

images = numpy.load("images.npy")
if {tensors}:
    import torch

    images = torch.from_numpy(images)
else:
    sys.modules["torch"] = None
{lines}
numpy.save("logits.npy", numpy.asarray(logits))
"""


NOISE = np.random.default_rng(0).normal(size=(3, 1, 8, 8)).astype(np.float32)


@dataclass(frozen=True)
class Here:
    store: Store
    original: str
    unlearned: str

    def exports(self) -> list[MlflowRun]:
        return list(self.store.find({ENTRY: "export"}))


@pytest.fixture
def here(unlearned: UnlearnedStore) -> Here:
    return Here(unlearned.store, unlearned.original, unlearned.unlearned[0])


def assert_runs_elsewhere(
    folder: Path,
    kind: str,
    run_id: str,
    images: NDArray[np.float32] = NOISE,
    within: float = 1e-5,
) -> None:
    """By the lines of the card, without mu, with the answers of the run's network."""
    card = (folder / "README.md").read_text()
    (lines,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert lines.strip() == LOAD[kind]
    np.save(folder / "images.npy", images)
    program = ELSEWHERE.format(tensors=kind != "onnx", lines=lines)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        wanted = mu.load_model(run_id)(torch.from_numpy(images)).numpy()
    found = np.load(folder / "logits.npy")
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() <= within * max(1.0, np.abs(wanted).max())


@pytest.mark.parametrize("kind", ["torch", "safetensors", "onnx"])
def test_the_lines_of_the_card_load_the_file_without_mu(
    kind: str, here: Here, tmp_path: Path
) -> None:
    if kind == "onnx":
        for name in ("onnx", "onnxruntime", "onnxscript"):
            pytest.importorskip(name)
    folder = tmp_path / "files"
    assert call("mu", "export", here.unlearned[:10], "--format", kind, "--out", str(folder)) == 0
    assert_runs_elsewhere(folder, kind, here.unlearned)


def test_the_run_keeps_files_numbers_and_lineage(
    here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = export(Request(entry={"run_id": here.unlearned, "format": "safetensors"}))
    found = here.store.run(run_id)
    assert found.data.tags[UPSTREAM] == here.unlearned
    numbers = found.data.metrics
    assert 0 < numbers["params_compact"] <= numbers["params"] == 77_754
    assert 0 < numbers["macs_compact"] <= numbers["macs"]
    assert numbers["max_difference"] < 1e-5
    assert numbers["latency_ms"] > 0 < numbers["latency_ms_compact"]
    names = ("README.md", "load_model.py", "model.json", "model.safetensors")
    assert {f"export/{name}" for name in names} <= {*files(here.store, run_id)}
    told = here.store.run(here.unlearned).data
    assert told.metrics["latency_ms_compact"] == numbers["latency_ms_compact"]
    assert (told.tags[EVALUATION], "max_difference" in told.metrics) == (run_id, False)
    assert run_id in capsys.readouterr().out


SPARSE = [*product(("torch", "safetensors"), (True, False))]


@pytest.mark.parametrize(("kind", "pays"), mostly_slow(SPARSE, *SPARSE[2:]))
def test_sparse_layers_are_kept_if_the_file_is_faster(
    kind: str, pays: bool, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_given_times = partial(choose, timer=times(sparse=1.0, dense=2.0))
    monkeypatch.setattr(export_files, "choose", by_given_times)
    monkeypatch.setattr(export_files, "is_faster", lambda sparse, dense: pays)
    folder = tmp_path / "files"
    line = ("--format", kind, "--sparse-layers", "yes", "--out", str(folder))
    assert call("mu", "export", here.unlearned, *line) == 0
    (run,) = here.exports()
    artifact = here.store.client.download_artifacts(run.info.run_id, "config.json", str(tmp_path))
    kinds = json.loads(Path(artifact).read_text())["layers"]
    assert ("csr" in kinds.values()) is pays
    assert kinds["fc"] == "dense"  # it is not pruned
    assert ("Layers that stay sparse" in (folder / "README.md").read_text()) is pays
    if kind == "safetensors":
        layers = json.loads((folder / "model.json").read_text())["layers"].values()
        assert ("SparseConv2d" in {name for name, _ in layers}) is pays
    assert_runs_elsewhere(folder, kind, here.unlearned)


@pytest.mark.parametrize(
    ("precision", "kind", "part", "within"),  # of the size in fp32; of the largest logit
    [
        pytest.param("bf16", "torch", 0.9, 0.03, marks=pytest.mark.slow),
        ("bf16", "safetensors", 0.6, 0.03),
        ("int8", "onnx", 0.6, 0.15),
    ],
)
def test_fewer_bits_are_a_smaller_file_with_its_accuracy_beside(
    precision: str, kind: str, part: float, within: float, here: Here, tmp_path: Path
) -> None:
    if precision == "int8":
        for name in ("onnx", "onnxruntime", "onnxscript"):
            pytest.importorskip(name)
    line = {"run_id": here.unlearned, "format": kind}
    exact = here.store.run(export(Request(entry=line))).data.metrics
    told = here.store.run(here.unlearned).data.metrics
    folder = tmp_path / "files"
    run_id = export(Request(entry={**line, "precision": precision, "out": str(folder)}))
    numbers = here.store.run(run_id).data.metrics
    assert numbers["file_mb_compact"] < part * exact["file_mb_compact"]
    assert abs(numbers["TA_exported"] - numbers["TA_fp32"]) <= 5
    assert numbers["max_difference"] > 1e-5
    assert numbers["latency_ms_compact"] > 0
    assert here.store.run(here.unlearned).data.metrics == told  # its gap is not the file's
    card = (folder / "README.md").read_text()
    assert f"| TA_exported | {numbers['TA_exported']:.4g} |" in card
    assert f"computes in {precision}" in card
    # int8 holds the values that such images lead to, not those of noise.
    images = compared(data_of(mu.load_checkpoint(here.unlearned).spec, {}))[:9].numpy()
    assert_runs_elsewhere(folder, kind, here.unlearned, images, within)


def test_ta_of_a_file_leaves_out_a_class_that_was_forgotten(here: Here) -> None:
    checkpoint = mu.load_checkpoint(here.unlearned)
    dataset = data_of(checkpoint.spec, {})
    seen: list[torch.Tensor] = []

    def answers(images: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        return torch.eye(10)[torch.full((len(images),), 3)]  # class 3, which was forgotten

    found = accuracies(checkpoint.model, answers, checkpoint.spec, dataset)
    assert sum(map(len, seen)) == int((dataset.test.labels != 3).sum())
    assert found["TA_exported"] == 0 < found["TA_fp32"]


def test_int8_is_calibrated_without_what_was_forgotten(here: Here) -> None:
    spec = mu.load_checkpoint(here.unlearned).spec
    dataset = data_of(spec, {})
    gone = dataset.training_subset(np.array(spec.removed))
    ((forgotten, _),) = Batches(gone, len(gone) + 1, torch.device("cpu")).in_order()
    used = {image.numpy().tobytes() for image in calibrating(spec, dataset)}
    assert len(used) > 200
    assert used.isdisjoint(image.numpy().tobytes() for image in forgotten)


def test_the_card_says_what_was_forgotten(here: Here, tmp_path: Path) -> None:
    out = str(tmp_path / "files")
    export(Request(entry={"run_id": here.unlearned, "format": "safetensors", "out": out}))
    card = (tmp_path / "files" / "README.md").read_text()
    count = len(mu.load_checkpoint(here.unlearned).spec.removed)
    assert f"| ft | `class:3` | {count} | `{here.unlearned}` |" in card
    assert f"prune `{here.original}` → unlearn `{here.unlearned}`" in card
    assert "| UA |" in card
    assert "measured, not proved" in card


def test_a_registered_model_by_its_alias_and_whole(
    here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    register(here.store, here.original, "digits")
    set_alias(here.store, "digits", "production", 1)
    line = ("models:/digits@production", "--format", "safetensors", "--compact", "no")
    assert call("mu", "export", *line) == 0
    (run,) = here.exports()
    assert run.data.tags[UPSTREAM] == here.original
    assert "params_compact" not in run.data.metrics
    assert run.data.metrics["max_difference"] < 1e-6


def test_the_entry_point_takes_the_run_as_an_option(here: Here) -> None:
    assert call("export", "--run_id", here.original, "--format=safetensors") == 0
    assert len(here.exports()) == 1


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        (["{unlearned}", "--out", "{full}"], ["is there already and is not empty"]),
        (["{unlearned}", "--format", "onnx", "--opset", "9"], ["opset=9", "at least 18"]),
        (["{unlearned}", "--opset", "18"], ["opset=18", "format=onnx"]),
        (["{unlearned}", "--format", "onxn"], ["'onxn'", "onnx"]),
        (
            ["{unlearned}", "--sparse-layers", "yes", "--format", "onnx"],
            ["sparse_layers=true", "format=safetensors"],
        ),
        (["{unlearned}", "--sparse-layers", "yes", "--compact", "no"], ["compact=true"]),
        (["{unlearned}", "--precision", "int4"], ["int4", "int8"]),
        (
            ["{unlearned}", "--precision", "bf16", "--format", "onnx"],
            ["precision=bf16", "format=safetensors"],
        ),
        (["{unlearned}", "--precision", "int8"], ["precision=int8", "format=onnx"]),
        (
            ["{unlearned}", "--precision", "bf16", "--sparse-layers", "yes"],
            ["precision=bf16", "sparse_layers"],
        ),
        (["{unlearned}", "--precision", "bf16", "--compact", "no"], ["compact=true"]),
        (["{unlearned}", "--batch-size", "0"], ["batch_size", "at least 1"]),
        (["{export}"], ["entry export", "holds no network"]),
        (["{unlearned}", "--run-id", "{original}"], ["give one run"]),
        (["{retired}"], ["is retired", "erasure e7a5"]),
        (["models:/none@production"], ["no registered model"]),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_run(
    line: list[str],
    texts: list[str],
    here: Here,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "model.onnx").write_text("another export")
    made = here.store.client.create_run(here.store.experiment_id, tags={ENTRY: "export"})
    here.store.client.set_terminated(made.info.run_id, "FINISHED")
    here.store.client.set_tag(here.original, RETIRED, "e7a5")
    names = {
        "unlearned": here.unlearned,
        "original": here.original,
        "retired": here.original,
        "export": made.info.run_id,
        "full": tmp_path / "full",
    }
    assert call("mu", "export", *(word.format(**names) for word in line)) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("error: ")
    assert all(text in said[-1] for text in texts), said
    assert len(here.exports()) == 1
    assert [one.name for one in (tmp_path / "full").iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("compact", [True, False])
def test_a_network_that_cannot_be_traced(
    compact: bool, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    arch = "tests.compact.networks:conditional"
    settings = {"arch": arch, "rate": 0.5, "epochs": 1, "train_size": 50, "batch_size": 25}
    prune(Request(original=settings, device={"device": "cpu"}))
    (run,) = store.find({ENTRY: "prune"})
    assert call("mu", "export", run.info.run_id, "--compact", str(compact), "--trust", arch) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert ("torch.fx" if compact else "torch.export") in last
    assert list(store.find({ENTRY: "export"})) == []


def test_a_missing_package_is_named_with_the_extra(
    here: Here, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert call("mu", "export", here.unlearned, "--format", "onnx") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "needs the package onnx" in line
    assert "[export]" in line
    assert here.exports() == []
