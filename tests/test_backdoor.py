"""Planting a backdoor, measuring it, unlearning it: by the entry, and what later entries do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import mu
from entrypoints import prune
from mu import tags
from mu.cli.requests import BackdoorOptions, DeviceOptions, Request
from mu.data.forget_split import ForgetSplit
from mu.data.poison import Poison, PoisonedDataset
from mu.data.poison_options import PoisonOptions
from mu.data.splits import SplitSpec
from mu.errors import UserError
from mu.methods import make_method, method_class
from mu.methods.fine_tuning import cleansing
from mu.report import backdoor_plots
from mu.runs import Run
from mu.tasks import backdoor as backdoor_task
from mu.tasks import cleanse
from mu.tasks.problem import TrackedModel, TrainTask, Unlearned, UnlearningProblem, UnlearnTask
from mu.tasks.prune import poisoned, requested_task
from mu.tasks.sweep.grid import Grid
from mu.tasks.sweep.plan import Plan, plan_of
from mu.tracking import Store, connect, fingerprint_tag, load_checkpoint
from tests.commands import Program, call, newest_of
from tests.conftest import copy_store, store_uri
from tests.helpers import make_checkpoint, make_dataset, make_recipe
from tests.test_main_job import files

# As many steps as with all images in batches of 64.
MADE = ("--prune_epochs", "8", "--prune_train_size", "800", "--prune_batch_size", "32")
QUICK = (*MADE, "--epochs", "1", "--device", "cpu")
ENDING = ("checkpoint/model.safetensors", "mask/mask.safetensors")


@pytest.fixture(scope="module")
def made(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one backdoor run on a sparse original, cleansed by the default method."""
    path = copy_store(empty_store, tmp_path_factory.mktemp("backdoor"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
        line = ("--prune_rate", "0.95", "--oracle_run_id", "train", *MADE)
        assert call("backdoor", *line, "--device", "cpu") == 0
    return path


@dataclass(frozen=True)
class Planted:
    """A store with a backdoor run, its poisoned original and its oracle."""

    store: Store
    run_id: str
    original: str
    oracle: str


@pytest.fixture
def planted(made: Path, copied: Callable[[Path], Store]) -> Planted:
    store = copied(made)
    return Planted(store, *(newest_of(store, one) for one in ("backdoor", "prune", "unlearn")))


def newest(store: Store, entry: str = "backdoor") -> str:
    return newest_of(store, entry)


@pytest.mark.slow
def test_a_planted_backdoor_works_and_unlearning_takes_it_out(planted: Planted) -> None:
    found = planted.store.run(planted.run_id).data.metrics
    assert found["ASR_before"] > 95
    assert found["ASR"] < 10
    assert found["TA_before"] - found["TA"] <= 2
    assert found["UA_before"] == 0
    # A tenth of the poisoned images is of the target class and keeps its label.
    assert found["UA"] == found["UA_poison"] > 80
    assert found["robust_acc"] > 80 > found["robust_acc_before"]
    assert {"RA", "MIA", "RTE", "gap", "robust_acc"} <= set(found)
    assert planted.store.run(planted.oracle).data.metrics["ASR"] < 5


@pytest.mark.slow
def test_what_was_attacked_and_with_what_is_kept_and_the_lineage_says_so(planted: Planted) -> None:
    store, run_id = planted.store, planted.run_id
    kept = set(files(store, run_id))
    assert {*ENDING, *(f"poisoned/{name}" for name in ENDING)} <= kept
    assert {"poison/indices.npy", "poison/trigger.json", "forget/indices.npy"} <= kept
    assert {"plots/trigger.png", "plots/predictions.png"} <= kept
    params = store.run(run_id).data.params
    assert (params["epochs"], params["l1_strength"]) == ("30", "2.0"), "other ones than in unlearn"
    tags = store.run(run_id).data.tags
    assert (tags["mu.upstream"], tags["mu.oracle"]) == (planted.original, planted.oracle)
    for nested in (planted.original, planted.oracle):
        assert store.run(nested).data.tags["mlflow.parentRunId"] == run_id
    params = store.run(planted.original).data.params
    assert (params["trigger"], params["target"], params["poison"]) == ("patch", "0", "random:10%")
    assert store.run(planted.original).data.metrics["ASR"] > 95
    assert store.run(planted.original).data.tags["mu.poison"] == tags["mu.poison"]
    folder = Path(store.client.download_artifacts(run_id, "poison"))
    poison = load_checkpoint(planted.original).spec.data.poison
    assert poison is not None
    assert np.load(folder / "indices.npy").tolist() == list(poison.indices)
    about = json.loads((folder / "trigger.json").read_text())
    assert about["settings"]["size"] == 2, "what was used, not how it was chosen"
    assert (about["trigger"], about["target"], about["fingerprint"]) == (
        *("patch", 0),
        poison.fingerprint,
    )


@pytest.mark.slow
def test_saved_mask_and_weights_give_exactly_the_saved_models_predictions(
    planted: Planted,
) -> None:
    # The reference implementation loaded the mask after the weights, which left them random.
    store = planted.store
    folder = Path(store.client.download_artifacts(planted.run_id, "poisoned"))
    kept, handed_on = mu.Checkpoint.load(folder), load_checkpoint(planted.original)
    data = handed_on.spec.data.bind(mu.load_data("digits"))
    assert isinstance(data, PoisonedDataset)
    run = mu.Run(device="cpu", show_progress=False)
    from mu.evaluation.planted import backdoor

    one, other = (backdoor(each.model, data, run) for each in (kept, handed_on))
    assert one == other
    logged = store.run(planted.original).data.metrics
    assert one["ASR"] == pytest.approx(logged["ASR"], abs=1e-3)
    for checkpoint in (kept, load_checkpoint(planted.run_id)):
        weights = dict(checkpoint.model.named_parameters())
        for name, keeps in checkpoint.mask.items():
            assert (weights[name][~keeps] == 0).all()
            assert (weights[name][keeps] != 0).any()


@pytest.mark.slow
def test_the_same_original_is_used_again_unless_the_attack_is_another_one(
    planted: Planted, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[nn.Module, ...]] = []
    monkeypatch.setattr(backdoor_plots, "plot_predictions", lambda *given: shown.append(given[1:3]))
    status, out, _ = program(f"backdoor --method ft {' '.join(QUICK)} --prune_rate 0.95")
    assert status == 0
    assert f"poisoned original: run {planted.original}" in out
    assert "the backdoor is still in" in out
    assert planted.store.run(newest(planted.store)).data.tags["mu.upstream"] == planted.original
    for model, run_id in zip(shown[0], (planted.original, newest(planted.store)), strict=True):
        kept = load_checkpoint(run_id).model.state_dict()
        assert all(torch.equal(kept[name], one) for name, one in model.state_dict().items())
    line = f"backdoor --method ft {' '.join(QUICK)} --trigger blended --prune_epochs 1"
    assert program(line)[0] == 0
    assert planted.store.run(newest(planted.store)).data.tags["mu.upstream"] != planted.original


@pytest.mark.slow
def test_a_clean_job_never_takes_a_poisoned_original(planted: Planted, program: Program) -> None:
    status, out, _ = program(f"unlearn --method ft {' '.join(QUICK)} --prune_epochs 1")
    assert status == 0
    assert "training one first" in out
    assert planted.store.run(newest(planted.store, "unlearn")).data.metrics.get("ASR") is None


@pytest.mark.slow
def test_unlearn_takes_the_poisoned_original_of_a_backdoor_run(
    planted: Planted, program: Program
) -> None:
    line = f"unlearn --prune_run_id {planted.run_id} --method ft {' '.join(QUICK)}"
    status, _, err = program(line)
    assert (status, "stage=poisoned or stage=cleansed" in err) == (2, True)
    status, out, _ = program(f"{line} --stage poisoned --forget poison")
    assert status == 0
    run = planted.store.run(newest(planted.store, "unlearn"))
    assert run.data.tags["mu.upstream"] == planted.original
    assert run.data.tags["mu.oracle"] == planted.oracle  # the same job, so the same oracle
    assert run.data.metrics["ASR_before"] > 95
    assert "ASR" in out
    assert program(f"{line} --stage cleansed --forget class:3")[0] == 0
    run = planted.store.run(newest(planted.store, "unlearn"))
    assert run.data.tags["mu.upstream"] == planted.run_id
    assert run.data.metrics["ASR_before"] < 10
    status, _, err = program(f"{line} --stage cleansed --forget poison")
    assert (status, "have been forgotten already" in err) == (2, True)
    line = f"unlearn --prune_run_id {planted.original} --stage poisoned"
    assert program(line)[0] == 2


@pytest.mark.slow
def test_evaluate_measures_a_backdoor_run_as_the_run_itself_did(
    planted: Planted, program: Program
) -> None:
    before = planted.store.run(planted.run_id).data.metrics
    line = f"evaluate --run_id {planted.run_id} --add false --device cpu"
    assert program(f"{line} --metrics backdoor,accuracy")[0] == 0
    found = planted.store.run(newest(planted.store, "evaluate")).data.metrics
    for name in ("ASR", "robust_acc", "UA_poison", "UA", "RA", "TA"):
        assert found[name] == before[name], name
    assert found["ASR_oracle"] == planted.store.run(planted.oracle).data.metrics["ASR"]


@pytest.mark.slow
def test_suspects_are_found_or_given_and_their_quality_is_logged(
    planted: Planted, program: Program, tmp_path: Path
) -> None:
    line = f"backdoor --prune_run_id {planted.original} --method ft {' '.join(QUICK)}"
    poison = load_checkpoint(planted.original).spec.data.poison
    assert poison is not None
    half = tmp_path / "half.csv"
    clean = [number for number in range(400) if number not in poison.indices]
    parts = load_checkpoint(planted.original).spec.split(mu.load_data("digits"))
    clean = [number for number in clean if number in parts.train][:10]
    half.write_text("\n".join(map(str, [*poison.indices[:30], *clean])))
    status, out, _ = program(f"{line} --suspects {half}")
    assert status == 0
    found = planted.store.run(newest(planted.store)).data
    assert found.metrics["suspects_precision"] == 75
    assert found.metrics["suspects_recall"] == pytest.approx(
        100 * 30 / len(poison.indices), abs=1e-3
    )
    assert found.params["suspects"] == str(half)
    assert "precision" in out
    assert program(f"{line} --suspects spectral --suspects_among 0 --suspects_share 0.1")[0] == 0
    found = planted.store.run(newest(planted.store)).data
    assert found.metrics["suspects_precision"] > 0
    # Class 0: its own images left clean, and the poisoned ones; 1.5 times a tenth of them.
    labels = mu.load_data("digits").train.labels.numpy()
    zeros = {*parts.train[labels[parts.train] == 0].tolist(), *poison.indices}
    kept = Path(planted.store.client.download_artifacts(newest(planted.store), "forget"))
    assert len(np.load(kept / "indices.npy")) == round(1.5 * 0.1 * len(zeros))
    assert found.params["suspects_share"] == "0.1"


def test_the_images_to_poison_are_drawn_by_the_seed_of_the_split() -> None:
    dataset = make_dataset(train=90)
    recipe = replace(make_recipe(dataset), seed=3, split=SplitSpec(split_seed=1))
    task = TrainTask(dataset, recipe)

    def drawn(seed: int) -> Poison:
        options = PoisonOptions.of({"poison": "random:20"})
        return Poison.choose(options, {}, dataset, task.spec().split(dataset), seed)

    made = cleanse._poisoned(task, Request(poison={"poison": "random:20"}))
    assert made.spec().data.poison == drawn(1) != drawn(3)


def test_a_backdoor_run_that_is_named_is_its_poisoned_original(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = {tags.ENTRY: "backdoor", tags.UPSTREAM: "poisoned"}
    run = SimpleNamespace(data=SimpleNamespace(tags=told))
    store: Any = SimpleNamespace(run=lambda _: run)
    monkeypatch.setattr(cleanse, "fetch_original", lambda *_: make_checkpoint(make_dataset()))
    options = BackdoorOptions(prune_run_id="cleansed")
    found = cleanse._original(store, options, Request(), DeviceOptions())
    assert isinstance(found, TrackedModel)
    assert found.run_id == "poisoned"


def test_what_is_kept_of_a_cleansing_is_of_what_it_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    task = poisoned(
        TrainTask(clean := make_dataset(), make_recipe(clean)), {"poison": "random:10"}, {}
    )
    before, after = (make_checkpoint(clean, seed=seed) for seed in (1, 2))
    parts = task.spec().split(task.dataset)
    others = np.setdiff1d(parts.train, task.dataset.poisoned)
    suspects = np.concatenate([task.dataset.poisoned[:2], others[:6]])
    split = ForgetSplit.of(task.dataset, parts, suspects)
    device = DeviceOptions(device="cpu")
    problem = UnlearningProblem("id", before, task.dataset, split, "spectral", device)
    unlearning = UnlearnTask(problem, make_method("ft", {}), 0, extra={"suspects": "spectral"})
    done: Any = Unlearned("id", unlearning, after, {"ASR": 0.0}, Run(device="cpu"), None)  # type: ignore[arg-type]
    drawn: list[Any] = []
    monkeypatch.setattr(backdoor_plots, "plot_trigger", lambda *_: None)
    monkeypatch.setattr(backdoor_plots, "plot_predictions", lambda *given: drawn.extend(given[1:3]))
    recorder: Any = SimpleNamespace(folder=tmp_path)
    cleanse._save(recorder, done)
    assert drawn == [before.model, after.model]
    assert (done.metrics["suspects_precision"], done.metrics["suspects_recall"]) == (25, 20)


def test_the_rate_of_a_round_comes_to_the_sparsity_after_all_rounds_that_are_given() -> None:
    for rounds, rate in ((1, 0.875), (3, 0.5)):
        given = Request(original={"pruner": "imp", "rounds": rounds})
        assert backdoor_task._of_one(given, 87.5).original["rate"] == pytest.approx(rate)


@pytest.mark.slow
def test_several_sparsities_are_runs_below_one_with_a_table_and_a_plot(
    planted: Planted, program: Program
) -> None:
    line = f"backdoor --sparsities 0,95 --method ft {' '.join(QUICK)}"
    status, out, _ = program(line)
    assert status == 0
    store = planted.store
    parent = store.run(next(iter(_children(store).values())))
    rows = Path(store.client.download_artifacts(parent.info.run_id, "report/sparsity.csv"))
    lines = rows.read_text().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("sparsity,TA_before,ASR_before,TA,ASR")
    assert [float(one.split(",")[0]) for one in lines[1:]] == [0, pytest.approx(95, abs=0.1)]
    assert "plots/sparsity.png" in set(files(store, parent.info.run_id))
    assert len(_children(store)) == 2
    assert parent.info.status == "FINISHED"
    assert f"run {planted.original}" in out  # the sparse original was there
    history = store.client.get_metric_history(parent.info.run_id, "ASR")
    assert [one.step for one in history] == [0, 1]
    warned = {store.run(child).data.tags["mu.warnings"] for child in _children(store)} != {"none"}
    assert ("warning: " in out) == warned
    assert ("**Warning**" in parent.data.tags["mlflow.note.content"]) == warned


def _children(store: Store) -> dict[str, str]:
    """Backdoor runs below another backdoor run, with the ID of that."""
    runs = list(store.search("tags.`mu.entry` = 'backdoor'"))
    ids = {run.info.run_id for run in runs}
    pairs = {run.info.run_id: run.data.tags.get("mlflow.parentRunId", "") for run in runs}
    return {child: parent for child, parent in pairs.items() if parent in ids}


@pytest.mark.slow
def test_a_mask_is_taken_from_an_earlier_run(planted: Planted, program: Program) -> None:
    line = f"backdoor --mask_run_id {planted.original} --prune_epochs 1 --method ft"
    assert program(f"{line} --trigger pixel {' '.join(QUICK)}")[0] == 0
    made = load_checkpoint(newest(planted.store, "prune"))
    assert made.mask.fingerprint == load_checkpoint(planted.original).mask.fingerprint
    assert made.spec.data.poison is not None
    assert made.spec.data.poison.trigger == "pixel"


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_ends_as_if_nothing_had_happened(
    planted: Planted, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"backdoor --prune_run_id {planted.original} --method ft --epochs 3 --device cpu"
    assert program(line)[0] == 0
    whole = planted.store.run(newest(planted.store)).data

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cleanse, "_save", stop)
    assert program(line)[0] == 130
    stopped = newest(planted.store)
    assert planted.store.run(stopped).info.status == "KILLED"
    monkeypatch.undo()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", planted.store.uri)
    status, _, err = program(f"backdoor --resume_run_id {stopped} --target 3")
    assert (status, "target=3 contradicts" in err) == (2, True)
    assert program(f"backdoor --resume_run_id {stopped} --device cpu")[0] == 0
    again = planted.store.run(stopped)
    assert again.info.status == "FINISHED"
    assert again.data.tags["mu.weights"] == whole.tags["mu.weights"]
    assert again.data.metrics["ASR"] == whole.metrics["ASR"]
    assert "poison/trigger.json" in set(files(planted.store, stopped))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--trigger_size 9", ("9", "8x8")),
        ("--trigger pach", ("pach", "patch")),
        ("--trigger blended --trigger_size 2", ("trigger_size", "patch")),
        ("--target 10", ("10", "0 to 9")),
        ("--target all --clean_label true", ("clean_label", "all")),
        ("--trigger blended --trigger_opacity 0.001", ("trigger_opacity=0.001", "changes none")),
        ("--trigger_size 0", ("trigger_size=0",)),
        ("--prune_rate 1.5", ("prune_rate=1.5",)),
        ("--poison random:5000", ("poison: 5000", "1293")),
        ("--poison poison", ("poison=poison", "random:10%")),
        ("--poison class:0", ("poison=class:0", "target")),
        ("--suspects nowhere.csv", ("nowhere.csv",)),
        ("--suspects_share 0.1", ("suspects_share", "spectral")),
        ("--suspects spectral --suspects_share 0.9", ("suspects_share=0.9",)),
        ("--suspects spectral --suspects_among 12", ("12",)),
        ("--sparsities 0,50,x", ("'x'",)),
        ("--sparsities 50,100", ("100",)),
        ("--sparsities 50,50", ("50", "twice")),
        ("--sparsities 50 --prune_rate 0.5", ("prune_rate=0.5",)),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_run(
    store: Store, program: Program, line: str, words: tuple[str, ...]
) -> None:
    refused(store, program, line, *words)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--prune_run_id {original} --trigger_size 3", ("trigger_size=3 contradicts",)),
        ("--prune_run_id {original} --target 4", ("target=4 contradicts",)),
        ("--prune_run_id {original} --trigger warping", ("trigger=warping contradicts",)),
        ("--prune_run_id {original} --mask_run_id {original}", ("mask_run_id",)),
        ("--prune_run_id {original} --oracle_run_id {original}", ("no oracle",)),
        ("--resume_run_id {run_id}", ("FINISHED",)),
    ],
)
def test_what_contradicts_the_runs_is_one_line_and_leaves_no_run(
    planted: Planted, program: Program, line: str, words: tuple[str, ...]
) -> None:
    told = line.format(original=planted.original, run_id=planted.run_id)
    refused(planted.store, program, told, *words)


def refused(store: Store, program: Program, line: str, *words: str) -> None:
    before = len(list(store.search("")))
    status, _, err = program(f"backdoor {line} --device cpu")
    assert status == 2
    (message,) = [one for one in err.splitlines() if one.startswith("error:")]
    for word in words:
        assert word in message
    assert "Traceback" not in err
    assert len(list(store.search(""))) == before


@pytest.mark.slow
def test_an_original_that_was_not_poisoned_is_refused(planted: Planted, program: Program) -> None:
    assert program("prune --epochs 1 --rate 0 --device cpu")[0] == 0
    clean = newest(planted.store, "prune")
    status, _, err = program(f"backdoor --prune_run_id {clean}")
    assert (status, "was not poisoned" in err) == (2, True)
    status, _, err = program(f"unlearn --prune_run_id {clean} --forget poison")
    assert (status, "was not poisoned" in err) == (2, True)


@pytest.mark.slow
def test_an_original_that_was_trained_otherwise_is_not_taken(
    planted: Planted, program: Program
) -> None:
    # Defaults count, too: runs that are compared must not differ in what nobody asked for.
    line = f"backdoor --method ft {' '.join(QUICK)} --prune_epochs 2"
    assert program(line)[0] == 0
    quick = newest(planted.store, "prune")
    assert quick != planted.original
    assert program(f"backdoor --method ft {' '.join(QUICK)} --prune_rate 0.95")[0] == 0
    assert planted.store.run(newest(planted.store)).data.tags["mu.upstream"] == planted.original


@pytest.mark.slow
def test_a_backdoor_run_stands_for_its_poisoned_original(
    planted: Planted, program: Program
) -> None:
    line = f"backdoor --prune_run_id {planted.run_id} --method ft {' '.join(QUICK)}"
    assert program(line)[0] == 0
    assert planted.store.run(newest(planted.store)).data.tags["mu.upstream"] == planted.original


@pytest.mark.slow
def test_the_success_among_the_classes_that_were_poisoned_is_logged(
    planted: Planted, program: Program
) -> None:
    line = f"backdoor --poison class:5:60 --target 7 --method ft {' '.join(QUICK)}"
    assert program(f"{line} --prune_rate 0")[0] == 0
    found = planted.store.run(newest(planted.store)).data.metrics
    assert found["ASR_source_before"] > 2 * found["ASR_before"]
    assert "ASR_source" not in planted.store.run(planted.run_id).data.metrics


@pytest.mark.slow
def test_seeds_compares_backdoor_runs(planted: Planted, program: Program) -> None:
    from click.testing import CliRunner

    from mu.cli.seeds import command

    line = f"backdoor --prune_run_id {planted.original} --method ft {' '.join(QUICK)}"
    runs = []
    for seed in (0, 1):
        assert program(f"{line} --seed {seed}")[0] == 0
        runs.append(newest(planted.store))
    done = CliRunner().invoke(command, runs)
    assert done.exit_code == 0
    assert "ASR" in done.output


@pytest.mark.slow
def test_the_target_may_be_named(planted: Planted, program: Program) -> None:
    poison = load_checkpoint(planted.original).spec.data.poison
    assert isinstance(poison, Poison)
    line = f"backdoor --prune_run_id {planted.original} --target 0 --trigger badnets --method ft"
    assert program(f"{line} {' '.join(QUICK)}")[0] == 0


@pytest.mark.parametrize(
    ("method", "given", "expected"),
    [
        ("l1_sparse", (), {"epochs": 30, "l1_strength": 2.0}),
        ("l1_sparse", ("epochs", "lr"), {"epochs": 30, "l1_strength": 2.0}),
        ("l1_sparse", ("alpha",), {"epochs": 30}),
        ("l1_sparse", ("max_accuracy_drop",), {"epochs": 30}),
        ("ft", (), {}),
        ("iu", (), {}),
    ],
)
def test_defaults_of_a_cleansing_give_way_to_what_is_given(
    method: str, given: tuple[str, ...], expected: dict[str, object]
) -> None:
    assert cleansing(method_class(method), given) == expected


# --- poisoned originals of prune and of sweeps --------------------------------------------


def test_prune_makes_the_original_that_backdoor_does(planted: Planted) -> None:
    line = [one.replace("prune_", "") for one in MADE]
    line += ["--rate=0.95", "--poison=random:10%", "--trigger=patch", "--target=0"]
    groups = {**prune.build(line).make_context("prune", line).params}
    given = {name: one.value for name, one in groups.items() if one is not None}
    task = requested_task(given, DeviceOptions.of({}))
    made = planted.store.run(planted.original).data.tags[tags.ORIGINAL_KEY]
    assert fingerprint_tag(task.spec().fingerprint) == made
    (original,) = (one.original for one in plan(given) if one.kind == "original")
    assert original.key == made
    assert original.forget_sets.keys() == {"poison"}


def test_the_poisoned_network_is_kept_as_it_was_before_the_cleansing(planted: Planted) -> None:
    folder = Path(planted.store.client.download_artifacts(planted.run_id, "poisoned"))
    assert mu.Checkpoint.load(folder).fingerprint == load_checkpoint(planted.original).fingerprint


def plan(settings: dict[str, object]) -> Plan:
    document = {"originals": settings, "forget": "poison", "methods": "ft"}
    return plan_of(Grid.of(document), DeviceOptions.of({}), connect)


def test_settings_of_the_trigger_are_those_of_the_poison() -> None:
    (task, *_) = plan({"poison": "random:5%", "trigger": "patch", "trigger_size": 2, "target": 3})
    poison = task.original.spec.data.poison
    assert poison is not None
    assert (poison.target, poison.settings["size"], poison.request) == (3, 2, "random:5%")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": 3}, "target=3 is of an attack; say which training images"),
        ({"poison": "none", "trigger_size": 2}, "trigger_size=2 is of an attack"),
        ({"poison": "random:5%", "canaries": 5}, "canary:5 and poison=random:5%"),
        ({"poison": "poison"}, "poison=poison: say which images"),
        ({"poison": "random:5%", "target": "eleven"}, "eleven"),
        ({"poison": "random:5%", "trigger": "pach"}, "patch"),
    ],
)
def test_half_an_attack_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        plan(settings)
