"""The entry tune on a real store: what it chooses, what it looks at, and how it goes on."""

from __future__ import annotations

import csv
import dataclasses
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run as MlflowRun

from mu import tags
from mu.cli.requests import DeviceOptions, TuneOptions
from mu.data import load_data
from mu.data.images import ImageDataset, Images
from mu.methods import make_method
from mu.methods.steps.criterion import StopCriterion
from mu.methods.stopping import RULE
from mu.rounding import rounded
from mu.runs import Run
from mu.tasks import unlearn as unlearn_task
from mu.tasks.problem import UnlearnTask
from mu.tasks.resolve import problem_of
from mu.tasks.tune import judge
from mu.tasks.tune import run as tune_task
from mu.tasks.tune.space import axes_of
from mu.tasks.tune.trials import Space
from mu.tracking import Store, choose_runs, connect, fetch_checkpoint, read_run
from tests.commands import call
from tests.conftest import FinishedPrune, FinishedUnlearn, PrunedStore, copy_store, store_uri
from tests.test_main_job import files
from tests.tracking.handovers import hand_over
from tests.tracking.test_resuming import interrupt_at

GA = ("--method", "ga", "--forget", "random:20", "--device", "cpu", "--search", "step epochs=1:3")


def tunes(store: Store) -> list[MlflowRun]:
    return list(store.search("tags.`mu.tune` != ''"))


def trials_of(store: Store, run_id: str) -> list[dict[str, str]]:
    path = download_artifacts(run_id=run_id, artifact_path="trials.csv", tracking_uri=store.uri)
    with Path(path).open() as file:
        return list(csv.DictReader(file))


def without(rows: list[dict[str, str]], *names: str) -> list[dict[str, str]]:
    return [{name: v for name, v in row.items() if name not in names} for row in rows]


class Unreadable(Images):
    """Test images that must not be read; their fingerprint is known."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("pixels", "fetch"):
            raise AssertionError("a test image was read")
        return super().__getattribute__(name)

    def __post_init__(self) -> None:
        pass

    shape = (1, 8, 8)

    def digest(self) -> bytes:
        return load_data("digits").test.digest()


def blind(data: ImageDataset) -> ImageDataset:
    return dataclasses.replace(data, test=Unreadable(data.test.pixels, data.test.labels))


@pytest.fixture
def nothing_to_peek_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test image can be read, and no oracle found."""
    loaded = unlearn_task.dataset_of
    monkeypatch.setattr(unlearn_task, "dataset_of", lambda *given: blind(loaded(*given)))

    def peeks(*_: object) -> None:
        raise AssertionError("an oracle was sought")

    for name in ("oracle_of", "train_oracle", "perform"):
        monkeypatch.setattr(judge, name, peeks)


def test_a_search_by_the_criterion(
    pruned: PrunedStore, nothing_to_peek_at: None, capsys: pytest.CaptureFixture[str]
) -> None:
    store = pruned.store
    line = ("--prune_run_id", pruned.run_id, *GA, "--trials", "4")
    assert call("tune", *line) == 0
    (parent,) = tunes(store)
    run_id, said = parent.info.run_id, capsys.readouterr()
    assert f"tune run {run_id}" in said.err
    assert [text.split(":")[0] for text in said.out.splitlines()[:4]] == [
        f"trial {number}" for number in range(4)
    ]
    assert parent.data.tags["mu.target"] == "criterion"
    assert set(files(store, run_id)) == {"trials.csv", "best.yaml", "config.json"}

    rows = trials_of(store, run_id)
    assert [row["trial"] for row in rows] == list("0123")
    assert rows[0]["step"] == rows[0]["epochs"] == ""
    below = list(store.search(f"tags.`mlflow.parentRunId` = '{run_id}'"))
    assert {run.info.run_id for run in below} == {row["run_id"] for row in rows}
    for run in below:
        assert run.info.status == "FINISHED"
        assert run.data.tags["mu.trial"] == "criterion"
        assert not {"UA", "TA", "gap", "tune_gap"} & {*run.data.metrics}
        assert list(files(store, run.info.run_id)) == []
    history = store.client.get_metric_history(run_id, "tune_excess")
    assert [str(one.value) for one in history] == [row["tune_excess"] for row in rows]

    # What is best, told by the rule as it is written, and the command that is printed.
    def worth(row: dict[str, str]) -> tuple[bool, float, float]:
        excess, drop = float(row["tune_excess"]), float(row["tune_drop"])
        return drop > 1, 0.0 if -1 <= excess <= 0 else abs(excess), drop

    best = min(rows, key=worth)
    (command,) = (text for text in said.out.splitlines() if " unlearn " in text)
    words = command.split("mlflow run . -e unlearn ")[1].split()
    given = dict(word.split("=") for word in words if word != "-P")
    assert given.items() >= {"prune_run_id": pruned.run_id, "method": "ga"}.items()
    assert {n: given.get(n, "") for n in ("step", "epochs")} == {
        n: best[n] for n in ("step", "epochs")
    }

    # More trials: those that are there are not made again.
    assert call("tune", *line[:-1], "5") == 0
    newest = tunes(store)[0].info.run_id
    assert newest != run_id
    more = trials_of(store, newest)
    assert [row["state"] for row in more] == ["found"] * 4 + ["new"]
    assert without(more[:4], "state") == without(rows, "state")


@pytest.mark.slow
def test_a_search_that_was_stopped_goes_on_in_its_run(
    finished_prune: FinishedPrune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for name in ("whole", "again", "by_id"):
        path = copy_store(finished_prune.path, tmp_path / name)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
        store, line = connect(), ("--prune_run_id", finished_prune.run_id, *GA, "--trials", "3")
        if name != "whole":
            with pytest.MonkeyPatch.context() as patch:
                # Once between two trials, and once in the middle of one.
                owner, what = (
                    (judge.ByCriterion, "made") if name == "again" else (judge, "forgotten")
                )
                interrupt_at(patch, owner, what, 2)
                assert call("tune", *line) == 128 + signal.SIGINT
        by_id = ("--resume_run_id", tunes(store)[0].info.run_id) if name == "by_id" else ()
        assert call("tune", *(by_id or line)) == 0
        (parent,) = tunes(store)
        assert parent.info.status == "FINISHED"
        assert parent.data.tags.get("mu.resumed") == (None if name == "whole" else "1")
        histories = [
            (one.step, one.value)
            for one in store.client.get_metric_history(parent.info.run_id, "tune_excess")
        ]
        rows = without(trials_of(store, parent.info.run_id), "state", "run_id", "RTE")
        found[name] = (rows, histories)
    assert found["again"] == found["whole"]
    assert found["by_id"] == found["whole"]


@pytest.mark.slow
def test_the_upper_bound_is_by_the_oracle_of_another_set(
    finished_unlearn: FinishedUnlearn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = copy_store(finished_unlearn.path, tmp_path / "store")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
    store = connect()
    before = {run.info.run_id for run in store.search("")}
    line = ("--prune_run_id", finished_unlearn.original, "--method", "ft", "--epochs", "1")
    line = (*line, "--device", "cpu", "--forget", "class:5", "--target", "class:3")
    assert call("tune", *line, "--search", "lr=0.1,0.5", "--trials", "3") == 0
    (parent,) = tunes(store)
    rows = trials_of(store, parent.info.run_id)
    # One of the trials is a run of unlearn that was there.
    tried = {row["lr"]: row for row in rows}
    assert tried["0.1"]["state"] == "found"
    assert tried["0.1"]["run_id"] in finished_unlearn.unlearned
    for row in rows:
        run = store.run(row["run_id"])
        assert rounded(run.data.metrics["gap"]) == float(row["tune_gap"])
        assert run.data.params["forget"] == "class:3"
        assert run.data.tags["mu.oracle"] in finished_unlearn.oracles
        assert ("mu.trial" in run.data.tags) == (row["state"] == "new")
    said = capsys.readouterr().out
    assert "an upper bound" in said
    assert "-P forget=class:5" in said
    assert "(upper bound)" in parent.data.tags["mu.target"]
    assert "**an upper bound**" in parent.data.tags["mlflow.note.content"]
    # Trials are compared where they are asked for, and nowhere else.
    new = {run.info.run_id for run in store.search("")} - before - {parent.info.run_id}
    everything = {run.run_id for run in choose_runs(store, None, None, None).runs}
    assert not everything & new
    assert new <= {run.run_id for run in choose_runs(store, None, parent.info.run_id, None).runs}


def test_the_retain_set_may_lose_what_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    drops: list[float] = []
    monkeypatch.setattr(tune_task, "ByCriterion", lambda *given: drops.append(given[-1]))
    space = Space(make_method("ga", {"max_accuracy_drop": 3.0}), {}, (), 0, 1)
    plan: Any = SimpleNamespace(store=None)
    problem: Any = None
    tune_task.Tuning(TuneOptions(method="ga"), space, plan, None).judge(problem, "parent")
    assert drops == [3.0]


def test_another_search_has_another_key() -> None:
    def key(network: str = "n", forget: str = "f", target: str = "criterion", **given: Any) -> str:
        kind = make_method(given.get("method", "ft"), given.get("settings", {}))
        axes = axes_of(type(kind), {}, given.get("search", "lr=0.1,0.2"))
        space = Space(kind, {}, axes, given.get("seed", 0), given.get("count", 3))
        split = SimpleNamespace(fingerprint=forget)
        problem: Any = SimpleNamespace(network=network, split=split)
        options, plan = TuneOptions(target=target), None
        return tune_task.Tuning(options, space, plan, None).digest(problem)  # type: ignore[arg-type]

    others: list[dict[str, Any]] = [
        {"network": "m"}, {"forget": "g"}, {"target": "class:4"}, {"method": "ga"}, {"seed": 1},
        {"settings": {"epochs": 7}}, {"search": "lr=0.1,0.3"}, {"count": 4},
    ]  # fmt: skip
    assert len({key(), *(key(**one) for one in others)}) == 1 + len(others)


def test_a_trial_by_another_rule_is_none(store: Store) -> None:
    told = {tags.UNLEARNING: "key", tags.TRIAL: "criterion"}
    task: Any = SimpleNamespace(tags=lambda: {tags.UNLEARNING: "key"})
    by: Any = SimpleNamespace(store=store, kind="criterion")
    hand_over(store, entry="tune", tags=told, params={"rule": "of then"})
    assert judge.ByCriterion.found(by, task) is None
    made = hand_over(store, entry="tune", tags=told, params={"rule": RULE})
    hand_over(store, entry="tune", tags=told, params={"rule": "of then"})
    result = judge.ByCriterion.found(by, task)
    assert result is not None
    assert result.run_id == made


def test_a_run_that_was_compared_with_another_oracle_is_no_trial(
    finished_unlearn: FinishedUnlearn, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = connect(store_uri(finished_unlearn.path))
    made = read_run(store, finished_unlearn.unlearned[0])
    problem = problem_of(store, made, DeviceOptions(device="cpu"), None)
    method = make_method("ft", {"lr": 0.1, "epochs": 1})
    task = UnlearnTask(problem, method, made.seeds.unlearning)
    found = {}
    for oracle in finished_unlearn.oracles:
        monkeypatch.setattr(judge, "oracle_of", lambda *_, known=oracle: known)
        result = judge.ByOracle(store, problem, "parent").found(task)
        found[oracle] = None if result is None else result.run_id
    other = next(one for one in finished_unlearn.oracles if one != made.oracle_run_id)
    assert found == {made.oracle_run_id: made.run_id, other: None}


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        (("--method", "nothing"), ("method=nothing has no setting to search",)),
        (("--method", "retrain"), ("method=retrain has no setting to search",)),
        (
            ("--method", "ft", "--forget", "class:3", "--target", "class:3:20"),
            ("target=class:3:20 shares 20 samples with forget=class:3",),
        ),
        (("--method", "ft", "--target", "oracle"), ("target='oracle' is not understood",)),
        (("--method", "ft", "--lr", "1", "--search", "lr"), ("lr is given",)),
        (("--method", "ga", "--search", "lr=0.1,1 step"), ("step=0.0005 has no effect beside lr",)),
    ],
)
def test_what_cannot_be_searched_is_refused_before_a_run_is_opened(
    pruned: PrunedStore,
    line: tuple[str, ...],
    texts: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call("tune", "--prune_run_id", pruned.run_id, *line) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    for text in texts:
        assert text in said
    assert len(list(pruned.store.search(""))) == 1


@pytest.mark.slow
def test_the_printed_command_gives_the_network_of_the_trial_and_the_grid_is_one_of_sweep(
    pruned: PrunedStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = pruned.store
    line = ("--prune_run_id", pruned.run_id, "--method", "ft", "--epochs", "1", "--device", "cpu")
    assert call("tune", *line, "--forget", "class:3", "--trials", "4") == 0
    (parent,) = tunes(store)
    rows = trials_of(store, parent.info.run_id)
    (command,) = (text for text in capsys.readouterr().out.splitlines() if " unlearn " in text)
    words = command.split("mlflow run . -e unlearn ")[1].replace("-P ", "--").split()
    assert call("unlearn", *words, "--device", "cpu") == 0
    made = read_run(store, next(store.search("tags.`mu.entry` = 'unlearn'")).info.run_id)
    key = made.tags["mu.cell"]
    (trial,) = (row for row in rows if store.run(row["run_id"]).data.tags["mu.cell"] == key)
    problem = problem_of(store, made, DeviceOptions(device="cpu"), None)
    run = Run(device="cpu")
    rule = StopCriterion(problem.checkpoint.model, problem.split, run)
    model = fetch_checkpoint(store, made.run_id).model
    assert rounded(rule.excess(model)) == float(trial["tune_excess"])
    assert rounded(rule.drop(model)) == float(trial["tune_drop"])

    path = download_artifacts(
        run_id=parent.info.run_id, artifact_path="best.yaml", tracking_uri=store.uri
    )
    assert len(yaml.safe_load(Path(path).read_text())["methods"]) == 2
    assert call("sweep", "--grid", path, "--dry_run", "true", "--device", "cpu") == 0
    assert "original" in capsys.readouterr().out
