"""The entry `lira`: attacks with reference models, end to end, gone on with, and refused."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mlflow.artifacts import download_artifacts
from PIL import Image
from scipy.stats import t as student

from mu.cli.requests import DeviceOptions, LiraOptions, Request
from mu.data import load_data
from mu.data.forget_request import ForgetRequest
from mu.errors import UserError
from mu.evaluation import references as attacks
from mu.evaluation.attacks.likelihood import lira as likelihood_ratio
from mu.evaluation.attacks.rates import rates
from mu.runs import Run
from mu.tags import ORACLE_KEY
from mu.tasks import lira as lira_task
from mu.tasks import resume
from mu.tasks.listed import forget_split
from mu.tasks.resolve import unlearn_run
from mu.tasks.unlearn import unlearn
from mu.tracking import Recorder, Store, connect, fetch_checkpoint, reader, tracked
from mu.tracking.run_files import RunFiles
from tests.commands import Program, call
from tests.conftest import FinishedPrune, PrunedStore, copy_store, store_uri
from tests.helpers import refused
from tests.processes import PATIENCE, ROOT, python
from tests.test_main_job import files, newest
from tests.tracking.handovers import hand_over
from tests.tracking.test_resuming import interrupt_at

REFERENCES = 4
FORGOTTEN, RETAINED = 40, 36  # a tenth of 400; as many, but at most a tenth of what is left
BOTH = FORGOTTEN + RETAINED
SEED = 3  # unlike the other seeds, so that none can stand for it
QUICK = ("--references", str(REFERENCES), "--device", "cpu", "--seed", str(SEED))
KEPT = {f"references/{number:03d}.npz" for number in range(REFERENCES)}
FILES = {
    *KEPT, "references/models.npz", "records.csv", "plots/roc.png", "metrics.json", "config.json",
}  # fmt: skip
SUFFIXES = ("", "_lo", "_hi")
STATISTICS = tuple(f"{name}{end}" for name in ("auc", "tpr_at_1") for end in SUFFIXES)
NUMBERS = {
    *(f"{kind}_{name}{model}" for kind in ("lira", "rmia") for name in STATISTICS
      for model in ("", "_before", "_oracle")),
    *(f"ulira_{name}" for name in STATISTICS),
    *(f"memorisation{part}{end}" for part in ("", "_retain") for end in SUFFIXES),
}  # fmt: skip


@dataclass(frozen=True)
class Target:
    """The test's own store with an original, an oracle and a run to attack in it."""

    store: Store
    original: str
    oracle: str
    unlearned: str


@pytest.fixture(scope="module")
def finished(finished_prune: FinishedPrune, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with an original, its oracle, and a run of ft; copy it."""
    path = copy_store(finished_prune.path, tmp_path_factory.mktemp("to-attack"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
        own = {"forget": "random:10%", "prune_run_id": finished_prune.run_id}
        device = {"device": "cpu"}
        entry = {**own, "method": "ft", "oracle_run_id": "train"}
        unlearn(Request(entry=entry, method={"epochs": 1, "lr": 0.1}, device=device))
    return path


@pytest.fixture
def target(finished: Path, copied: Callable[[Path], Store]) -> Target:
    return target_in(copied(finished))


def target_in(store: Store) -> Target:
    oracle = newest(store, "params.method = 'retrain'").info.run_id
    unlearned = newest(store, "params.method = 'ft' and tags.`mu.entry` = 'unlearn'")
    return Target(store, unlearned.data.tags["mu.upstream"], oracle, unlearned.info.run_id)


def newest_lira(store: Store) -> str:
    return str(newest(store, "tags.`mu.entry` = 'lira'").info.run_id)


def artifact(store: Store, run_id: str, path: str) -> Path:
    return Path(download_artifacts(run_id=run_id, artifact_path=path, tracking_uri=store.uri))


def arrays(store: Store, run_id: str, path: str) -> dict[str, Any]:
    with np.load(artifact(store, run_id, path), allow_pickle=False) as kept:
        return {name: kept[name] for name in kept.files}


# --- end to end ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Whole:
    """What an attack that was never interrupted holds."""

    metrics: Mapping[str, float]
    references: Mapping[str, bytes]

    @classmethod
    def of(cls, store: Store, run_id: str, lost: Collection[int] = ()) -> Whole:
        run = store.run(run_id)
        assert run.info.status == "FINISHED"
        assert "mu.error" not in run.data.tags
        assert set(files(store, run_id)) == FILES
        logged = {n: v for n, v in run.data.metrics.items() if n != "reference_s"}
        assert logged == json.loads(artifact(store, run_id, "metrics.json").read_text())
        steps = [one.step for one in store.client.get_metric_history(run_id, "reference_s")]
        # What a process had not sent yet when it was killed is lost: numbers, not references.
        assert sorted(steps) == [one for one in range(REFERENCES) if one not in lost]
        return cls(logged, {n: artifact(store, run_id, n).read_bytes() for n in sorted(KEPT)})


@pytest.fixture(scope="module")
def attacked(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store with a finished attack on that run; copy it."""
    path = copy_store(finished, tmp_path_factory.mktemp("whole-attack"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
        assert call("lira", *QUICK) == 0
    return path


@pytest.fixture(scope="module")
def whole(attacked: Path) -> Whole:
    store = connect(store_uri(attacked))
    return Whole.of(store, newest_lira(store))


@pytest.mark.slow
@pytest.mark.usefixtures("painted")
def test_an_attack_end_to_end(
    target: Target, whole: Whole, capsys: pytest.CaptureFixture[str]
) -> None:
    store = target.store
    assert call("lira", "--unlearn_run_id", target.unlearned, *QUICK) == 0
    said = capsys.readouterr()
    run_id = newest_lira(store)
    assert Whole.of(store, run_id) == whole  # auto had taken the same run, and all repeats
    run = store.run(run_id)
    metrics = run.data.metrics
    # Of 40 images there is no rate at 1 %.
    assert set(metrics) == {name for name in NUMBERS if "_tpr_" not in name} | {"reference_s"}
    for end in SUFFIXES:
        assert 0 <= metrics[f"lira_auc{end}"] <= 1
    assert metrics["lira_auc_lo"] <= metrics["lira_auc"] <= metrics["lira_auc_hi"]
    tags = run.data.tags
    assert tags["mu.entry"] == "lira"
    assert (tags["mu.upstream"], tags["mu.oracle"]) == (target.unlearned, target.oracle)
    assert tags["mu.forget"] == store.run(target.unlearned).data.tags["mu.forget"]
    params = run.data.params
    assert (params["references"], params["gamma"], params["seed"]) == ("4", "1.0", str(SEED))
    assert (params["method"], params["forget"]) == ("ft", "random:10%")
    assert params["unlearn_run_id"] == target.unlearned
    for row in ("original", "unlearned", "oracle"):
        assert re.search(rf"│ {row} +│ 0\.\d{{3}} \[0\.\d{{3}}, 0\.\d{{3}}\]", said.out)
    assert f"{metrics['ulira_auc']:.3f} [" in said.out
    note = tags["mlflow.note.content"]
    for text in (
        target.unlearned,
        target.oracle,
        target.original,
        "U-LiRA AUC",
        f"{FORGOTTEN} forgotten",
    ):
        assert text in note
    assert "reference 4 of 4: " in said.err
    assert "a minute" in said.err
    with Image.open(artifact(store, run_id, "plots/roc.png")) as image:
        assert image.width > 900


@pytest.mark.slow
def test_the_attack_can_be_done_again_from_what_is_kept(
    attacked: Path, whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(copy_store(attacked, tmp_path / "store")))
    store = connect()
    run_id = newest_lira(store)
    unlearned = store.run(run_id).data.tags["mu.upstream"]
    models = arrays(store, run_id, "references/models.npz")
    kept = [arrays(store, run_id, name) for name in sorted(KEPT)]
    forget = np.load(artifact(store, unlearned, "forget/indices.npy"), allow_pickle=False)
    assert np.array_equal(models["forget"], forget)
    assert len(models["test"]) == len(forget)
    labels, data = models["labels_attacked"], load_data("digits")
    assert np.array_equal(labels[len(forget) :], data.test.labels.numpy()[models["test"]])
    assert np.array_equal(labels[: len(forget)], data.train.labels.numpy()[forget])

    def phi(logits: Any) -> Any:
        z = logits.astype(np.float64)
        rows = np.arange(len(z))
        others = z.copy()
        others[rows, labels] = -np.inf
        return z[rows, labels] - np.log(np.exp(others).sum(1))

    seen = np.stack([one["seen"] for one in kept])
    assert (seen.sum(0) == REFERENCES // 2).all()
    for name, model, part in (
        ("lira", "unlearned", "trained"), ("ulira", "unlearned", "unlearned"),
        ("lira", "original", "trained"),
    ):  # fmt: skip
        references = np.stack([phi(one[f"{part}_attacked"]) for one in kept])
        scores = likelihood_ratio(phi(models[f"{model}_attacked"]), references, seen)
        drawn = {
            seed: rates(scores[: len(forget)], scores[len(forget) :], seed=seed)
            for seed in (SEED, 0)
        }
        ending = "_before" if model == "original" else ""
        for number in ("auc", "auc_lo", "auc_hi"):
            found = whole.metrics[f"{name}_{number}{ending}"]
            assert found == pytest.approx(drawn[SEED][number], abs=1e-3)
        apart = [abs(drawn[SEED][end] - drawn[0][end]) for end in ("auc_lo", "auc_hi")]
        assert max(apart) > 2e-3, "or this says nothing"


# --- record by record ---------------------------------------------------------------------


def by_hand(store: Store, run_id: str) -> dict[int, dict[str, float]]:
    """Of each training sample under attack what its row says, from the kept logits, one by one."""
    models = arrays(store, run_id, "references/models.npz")
    kept = [arrays(store, run_id, name) for name in sorted(KEPT)]
    game = {"attacked": ("seen", models["forget"]), "retained": ("seen_retained", None)}
    found = {}
    for part, (seen_name, samples) in game.items():
        labels = models[f"labels_{part}"]
        numbers = models["retained"] if samples is None else samples

        def phi(logits: Any, sample: int, labels: Any = labels) -> float:
            z = logits[sample].astype(np.float64)
            label = labels[sample]
            return float(z[label] - np.log(np.exp(np.delete(z, label)).sum()))

        values = [[phi(r[f"trained_{part}"], k) for r in kept] for k in range(len(labels))]
        unseen = [
            [v for v, r in zip(row, kept, strict=True) if not r[seen_name][k]]
            for k, row in enumerate(values)
        ]
        deviations = [v - np.mean(row) for row in unseen for v in row]
        freedom = len(deviations) - len(labels)
        spread = np.sqrt(np.square(deviations).sum() / freedom)
        for k, number in enumerate(numbers.tolist()):
            right = [r[f"trained_{part}"][k].argmax() == labels[k] for r in kept]
            sides = [
                np.mean(
                    [one for one, r in zip(right, kept, strict=True) if r[seen_name][k] == side]
                )
                for side in (True, False)
            ]
            row = {"memorisation": sides[0] - sides[1]}
            for model, ending in (
                ("unlearned", ""),
                ("original", "_before"),
                ("oracle", "_oracle"),
            ):
                further = phi(models[f"{model}_{part}"], k) - np.mean(unseen[k])
                further /= spread * np.sqrt(1 + 1 / len(unseen[k]))
                row[f"fpr{ending}"] = 100 * student(freedom).sf(further)
            found[number] = row
    return found


@pytest.mark.slow
def test_every_record_has_its_rate_of_false_positives_and_its_memorisation(attacked: Path) -> None:
    store = connect(store_uri(attacked))
    run_id = newest_lira(store)
    with artifact(store, run_id, "records.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = by_hand(store, run_id)
    assert sorted(int(row["sample"]) for row in rows) == sorted(expected)
    for row in rows:
        for name, value in expected[int(row["sample"])].items():
            assert float(row[name]) == pytest.approx(value, rel=2e-3, abs=1e-4), name
        assert float(row["fpr_lo"]) <= float(row["fpr"]) <= float(row["fpr_hi"])
        assert float(row["memorisation_se"]) > 0
    data = load_data("digits")
    unlearned = store.run(store.run(run_id).data.tags["mu.upstream"])
    forget = np.load(artifact(store, unlearned.info.run_id, "forget/indices.npy"))
    for part, count in (("forget", FORGOTTEN), ("retain", RETAINED)):
        mine = [row for row in rows if row["part"] == part]
        assert [int(row["rank"]) for row in mine] == list(range(1, count + 1))
        rates = [float(row["fpr"]) for row in mine]
        assert rates == sorted(rates)
        numbers = [int(row["sample"]) for row in mine]
        assert np.isin(numbers, forget).all() == (part == "forget")
        assert np.isin(numbers, forget).any() == (part == "forget")
        names = [data.classes[label] for label in data.train.labels[numbers].tolist()]
        assert [row["class"] for row in mine] == names
    assert rows[0]["part"] == "forget"
    note = store.run(run_id).data.tags["mlflow.note.content"]
    assert f"| {rows[0]['sample']} | {rows[0]['class']} |" in note
    assert "1 % of false positives cannot be resolved with 4 references" in note
    metrics = store.run(run_id).data.metrics
    for name, part in (("memorisation", "forget"), ("memorisation_retain", "retain")):
        mean = np.mean([float(row["memorisation"]) for row in rows if row["part"] == part])
        assert metrics[name] == pytest.approx(mean, abs=1e-3)


def meant(store: Store, forget: str) -> list[int]:
    """The samples that a request means, of the original that was attacked."""
    target = target_in(store)
    spec = fetch_checkpoint(store, target.original).spec
    request = ForgetRequest.parse(forget)
    return forget_split(lambda: store, spec, load_data("digits"), request).forget.tolist()


@pytest.mark.slow
def test_the_most_memorised_records_of_a_run_are_forgotten(
    attacked: Path, copied: Callable[[Path], Store]
) -> None:
    store = copied(attacked)
    run_id, target = newest_lira(store), target_in(store)
    memorised = {n: row["memorisation"] for n, row in by_hand(store, run_id).items()}
    own = {"forget": f"vulnerable:12:{run_id[:9]}", "method": "ft", "oracle_run_id": "none"}
    entry = {**own, "prune_run_id": target.original}
    unlearn(Request(entry=entry, method={"epochs": 1}, device={"device": "cpu"}))
    run = newest(store)
    chosen = np.load(artifact(store, run.info.run_id, "forget/indices.npy")).tolist()
    assert len(chosen) == 12
    others = [value for number, value in memorised.items() if number not in chosen]
    assert min(memorised[number] for number in chosen) >= max(others)
    assert len(others) == FORGOTTEN + RETAINED - 12


@pytest.mark.slow
def test_rum_routes_by_the_memorisation_that_a_run_tells(
    attacked: Path, copied: Callable[[Path], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = copied(attacked)
    run_id, target = newest_lira(store), target_in(store)
    memorised = {n: row["memorisation"] for n, row in by_hand(store, run_id).items()}
    given = {"lira_run_id": run_id, "middle": "ft:epochs=1:lr=0.01", "high": "nothing"}
    entry = {"method": "rum", "prune_run_id": target.original, "oracle_run_id": "none"}
    parts: list[list[float]] = []

    def routed(_methods: object, found: list[Any], *_: object) -> None:
        parts.extend([memorised[number] for number in part.tolist()] for part in found)

    monkeypatch.setattr("mu.methods.steps.routing.forget_in_turn", routed)
    device = {"device": "cpu"}
    unlearn(Request(entry={**entry, "forget": f"vulnerable:{BOTH}:{run_id}"}, method=given,
                    device=device))  # fmt: skip
    low, middle, high = parts
    assert max(low) <= min(middle)
    assert max(middle) <= min(high)
    assert len(low) + len(middle) + len(high) == BOTH
    with refused(f"lira_run_id={run_id} does not tell the memorisation of"):
        unlearn(Request(entry={**entry, "forget": "random:50%"}, method=given, device=device))


@pytest.mark.slow
def test_of_an_earlier_run_the_forgotten_records_are_known(
    attacked: Path, copied: Callable[[Path], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It attacked no retained samples; its files lack what tells of them."""
    store = copied(attacked)
    run_id = newest_lira(store)
    contents = {
        path: {n: one for n, one in arrays(store, run_id, path).items() if "retained" not in n}
        for path in ("references/models.npz", *KEPT)
    }

    def earlier(_: Store, __: object, path: str) -> bytes:
        file = io.BytesIO()
        np.savez_compressed(file, **contents[path])
        return file.getvalue()

    everything = meant(store, f"vulnerable:{BOTH}:{run_id}")
    with monkeypatch.context() as patch:
        patch.setattr(reader, "read", earlier)
        assert (
            meant(store, f"vulnerable:{FORGOTTEN}:{run_id}")
            == contents["references/models.npz"]["forget"].tolist()
        )
        with refused(f"knows the memorisation of {FORGOTTEN} samples", "fewer"):
            meant(store, f"vulnerable:{FORGOTTEN + 1}:{run_id}")
        contents["references/002.npz"].pop("seen")
        with refused(f"run {run_id} does not tell which samples are memorised", "lira"):
            meant(store, f"vulnerable:3:{run_id}")
    assert len(everything) == BOTH


@pytest.mark.slow
def test_runs_that_know_no_memorised_samples_are_refused(
    attacked: Path, copied: Callable[[Path], Store]
) -> None:
    store = copied(attacked)
    run_id, target = newest_lira(store), target_in(store)
    with refused(f"run {target.unlearned} (entry unlearn)", "memorised", "-e lira"):
        meant(store, f"vulnerable:3:{target.unlearned}")
    with refused(f"knows the memorisation of {BOTH} samples", f"vulnerable:{BOTH + 1}:", "fewer"):
        meant(store, f"vulnerable:{BOTH + 1}:{run_id}")
    store.client.set_tag(run_id, "mu.data", "0" * 16)
    with refused("of other data", "0" * 16):
        meant(store, f"vulnerable:3:{run_id}")
    store.client.set_terminated(run_id, "KILLED")
    with refused("is KILLED", "-e lira"):
        meant(store, f"vulnerable:3:{run_id}")


@pytest.mark.slow
def test_the_references_are_of_the_networks_that_they_say(attacked: Path) -> None:
    """The models under attack differ from each other, and each reference from what it became."""
    store = connect(store_uri(attacked))
    run_id = newest_lira(store)
    models = arrays(store, run_id, "references/models.npz")
    looks = [models[f"{name}_attacked"] for name in ("original", "unlearned", "oracle")]
    for number in range(REFERENCES):
        one = arrays(store, run_id, f"references/{number:03d}.npz")
        looks += [one["trained_attacked"], one["unlearned_attacked"]]
    assert len({look.tobytes() for look in looks}) == 3 + 2 * REFERENCES


def test_references_unlearn_with_the_runs_own_hyperparameters(target: Target) -> None:
    run = unlearn_run(target.store, target.unlearned)
    name, method = run.method, run.make_method()
    assert (name, type(method).__name__) == ("ft", "FineTune")
    assert (method.as_dict()["epochs"], method.as_dict()["batch_size"]) == (1, 16)


def test_the_samples_under_attack_are_drawn_by_the_seed_that_is_given(target: Target) -> None:
    options = LiraOptions(unlearn_run_id=target.unlearned, references=2, seed=SEED)
    task = lira_task._make_task(target.store, options, DeviceOptions(device="cpu"))
    assert task.challenge.seed == SEED != task.problem.evaluation_seed


def test_the_oracle_is_the_one_that_the_run_was_compared_with(target: Target) -> None:
    target.store.client.set_tag(target.oracle, ORACLE_KEY, "found by none")
    options = LiraOptions(unlearn_run_id=target.unlearned, references=2)
    task = lira_task._make_task(target.store, options, DeviceOptions(device="cpu"))
    assert task.oracle_run_id == target.oracle


def test_the_gamma_that_is_given_is_that_of_the_attack(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = LiraOptions(unlearn_run_id=target.unlearned, references=2, gamma=2.5)
    task = lira_task._make_task(target.store, options, DeviceOptions(device="cpu"))
    recorder: Any = SimpleNamespace(folder=Path())

    def attack_all(_views: object, _references: object, members: int, gamma: float) -> None:
        raise UserError(f"{members} members, gamma={gamma}")

    monkeypatch.setattr(lira_task, "_view", lambda *_: None)
    monkeypatch.setattr(attacks, "attack_all", attack_all)
    with refused(f"{FORGOTTEN} members, gamma=2.5"):
        lira_task._attack(recorder, task, [], Run(device="cpu"))


def test_a_retrain_has_no_method_to_watch(target: Target) -> None:
    line = ("--unlearn_run_id", target.oracle, "--references", "2", "--device", "cpu")
    assert call("lira", *line) == 0
    run = newest(target.store)
    assert not [name for name in run.data.metrics if name.startswith("ulira")]
    assert not [name for name in run.data.metrics if name.endswith("_oracle")]
    assert {"lira_auc", "lira_auc_before", "rmia_auc"} <= set(run.data.metrics)
    assert "mu.oracle" not in run.data.tags
    kept = arrays(target.store, run.info.run_id, "references/000.npz")
    trained = {f"trained_{part}" for part in ("attacked", "bystanders", "retained")}
    assert set(kept) == {"seen", "seen_retained", *trained}
    with artifact(target.store, run.info.run_id, "records.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["fpr"] for row in rows} == {""}, "two references show no spread"
    assert "no spread" in run.data.tags["mlflow.note.content"]


@pytest.mark.slow
def test_without_an_oracle(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    store = target.store
    line = ("--references", "2", "--device", "cpu")
    assert call("lira", "--oracle_run_id", "none", *line) == 0
    assert not [name for name in newest(store).data.metrics if name.endswith("_oracle")]
    assert "no oracle to compare with" in capsys.readouterr().out
    # The one of the run's tag is gone; another one of the same fingerprint is found.
    store.client.set_tag(target.unlearned, "mu.oracle", "0" * 32)
    assert call("lira", *line) == 0
    assert newest(store).data.tags["mu.oracle"] == target.oracle


@pytest.mark.slow
def test_what_is_given_by_name_arrives(target: Target) -> None:
    line = ("--unlearn_run_id", target.unlearned, "--references", "2", "--device", "cpu")
    found = []
    for extra in ((), ("--seed", "3"), ("--gamma", "2"), ("--oracle_run_id", target.oracle)):
        assert call("lira", *line, *extra) == 0
        found.append(newest(target.store).data.metrics)
    plain, seeded, wider, given = found
    assert seeded["lira_auc"] != plain["lira_auc"]
    assert wider["lira_auc"] == plain["lira_auc"]
    assert wider["rmia_auc"] != plain["rmia_auc"]
    assert given["lira_auc_oracle"] == plain["lira_auc_oracle"]


# --- gone on with -------------------------------------------------------------------------

# Places in an attack, each in a process that goes on from the place before; with which call of the
# function, which has done its work by then.
PLACES = {
    "while the first reference trains": (lira_task, "make_reference", 1),
    "when the second is kept": (Recorder, "put", 2),
    "when the last is kept": (Recorder, "put", 2),
    "while the oracle is looked at": (lira_task, "_view", 3),
    "when all is written": (lira_task, "save_models", 1),
}


def interrupted_at(owner: Any, name: str, number: int, *line: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, owner, name, number)
        assert call("lira", *line) == 128 + signal.SIGINT


def interrupted(references: int, *line: str) -> None:
    """Run the entry until so many are kept: as many files follow what the run is to do."""
    interrupted_at(Recorder, "put", 1 + references, *QUICK, *line)


@pytest.mark.slow
def test_interrupted_anywhere_again_and_again_it_ends_as_if_nothing_had_happened(
    target: Target, whole: Whole, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    store, line = target.store, QUICK
    trained: list[int] = []
    work = lira_task.make_reference

    def counted(*arguments: Any) -> Any:
        trained.append(arguments[2])
        return work(*arguments)

    monkeypatch.setattr(lira_task, "make_reference", counted)
    for place, kept in zip(PLACES.values(), (0, 2, 4, 4, 4), strict=True):
        interrupted_at(*place, *line)
        run_id = newest_lira(store)
        run = store.run(run_id)
        assert (run.info.status, run.data.tags["mu.error"]) == ("KILLED", "stopped by SIGINT")
        assert f"-P resume_run_id={run_id}" in capsys.readouterr().err
        assert len(KEPT & set(files(store, run_id))) == kept
        line = ("--resume_run_id", run_id, "--device", "cpu")
    assert call("lira", *line) == 0
    assert trained == [0, *range(REFERENCES)], "each is trained once, but the one that was not kept"
    assert Whole.of(store, run_id) == whole
    assert store.run(run_id).data.tags["mu.resumed"] == str(len(PLACES))


@pytest.mark.slow
def test_an_attack_that_an_earlier_version_began_attacks_no_retained_samples(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(2, "--retain_sample", "0")
    run_id = newest_lira(target.store)
    kept = resume.fetch_document

    def earlier(*arguments: Any) -> dict[str, Any]:
        return {n: v for n, v in kept(*arguments).items() if n != "retain_sample"}

    monkeypatch.setattr(resume, "fetch_document", earlier)
    assert call("lira", "--resume_run_id", run_id, "--device", "cpu") == 0
    metrics = target.store.run(run_id).data.metrics
    assert "memorisation" in metrics
    assert "memorisation_retain" not in metrics
    assert set(files(target.store, run_id)) == FILES
    with artifact(target.store, run_id, "records.csv").open() as file:
        assert {row["part"] for row in csv.DictReader(file)} == {"forget"}


@pytest.mark.slow
def test_a_kept_reference_that_is_damaged_is_trained_again(
    target: Target, whole: Whole, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(REFERENCES)
    store, run_id = target.store, newest_lira(target.store)
    folder = Path(store.run(run_id).info.artifact_uri.removeprefix("file://")) / "references"
    content = (folder / "001.npz").read_bytes()
    (folder / "001.npz").write_bytes(content[:-100])
    (folder / "002.npz").write_bytes(content)  # of another number
    assert call("lira", "--resume_run_id", run_id, "--device", "cpu") == 0
    errors = capsys.readouterr().err
    assert "references/001.npz is trained again" in errors
    assert "references/002.npz is trained again: it saw other samples" in errors
    found = Whole.of(store, run_id)
    assert (found.metrics, found.references) == (whole.metrics, whole.references)


@pytest.mark.slow
def test_a_store_that_does_not_take_references_costs_only_the_way_back(
    target: Target, whole: Whole, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def full(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(RunFiles, "put", full)
    assert call("lira", *QUICK) == 0
    assert capsys.readouterr().err.count("progress waits to be kept: the disk is full") == 1
    assert Whole.of(target.store, newest_lira(target.store)) == whole


@pytest.mark.slow
def test_a_killed_process_is_gone_on_with(target: Target, whole: Whole) -> None:
    with python("-m", "entrypoints.lira", *QUICK) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("reference 2 of 4"):
                process.kill()
                break
        process.communicate(timeout=PATIENCE)
    run_id = newest_lira(target.store)
    assert target.store.run(run_id).info.status == "RUNNING"
    kept = KEPT & set(files(target.store, run_id))
    sent = len(target.store.client.get_metric_history(run_id, "reference_s"))
    assert call("lira", "--resume_run_id", run_id, "--device", "cpu") == 0
    assert Whole.of(target.store, run_id, lost=range(sent, len(kept))) == whole


# --- mistakes -----------------------------------------------------------------------------


Refuses = Callable[..., str]


@pytest.fixture
def refuses(program: Program) -> Refuses:
    """The one line with which the entry refuses a line of options."""
    return lambda line, *texts: program.refuses(f"lira {line}", *texts)


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        ("--references 3", ("references=3", "must be even", "give 4")),
        ("--references 0", ("references=0", "at least 2")),
        ("--retain_sample -1", ("retain_sample=-1",)),
        ("--gamma 0.5", ("gamma=0.5", "at least 1")),
        ("--seed -1", ("seed=-1",)),
        ("--device gpu", ("device='gpu'", "try auto")),
        ("--reference 4", ("option of lira 'reference'", "did you mean", "references")),
    ],
)
def test_refused_before_a_store_is_opened(
    refuses: Refuses, line: str, texts: tuple[str, ...], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(tmp_path / "mlflow.db"))
    refuses(line, *texts)
    assert not any(tmp_path.iterdir())


def count(store: Store) -> int:
    return len(list(store.search("")))


def test_runs_that_cannot_be_attacked(refuses: Refuses, target: Target) -> None:
    store, start = target.store, "--unlearn_run_id"
    failed = hand_over(store, entry="unlearn", status="FAILED")
    before = count(store)
    refuses(f"{start} 0123", "begins with '0123'", "`mu runs` lists them")
    refuses(f"{start} {target.original}", target.original, "(entry prune)", "a run of unlearn")
    refuses(f"{start} {failed}", failed, "is FAILED", "FINISHED")
    oracle = f"{start} {target.unlearned} --oracle_run_id"
    refuses(f"{oracle} {target.original}", target.original, "is no oracle")
    refuses(f"{oracle} train", "only unlearn trains oracles", "method=retrain")
    assert count(store) == before


def test_nothing_to_attack(refuses: Refuses, pruned: PrunedStore) -> None:
    refuses("--device cpu", "no finished unlearn run", "mlflow run . -e unlearn")
    assert count(pruned.store) == 1


def test_a_forget_set_that_is_too_small(refuses: Refuses, target: Target) -> None:
    own = {"forget": "random:1", "method": "ft", "prune_run_id": target.original}
    unlearn(Request(entry=own, method={"epochs": 1}, device={"device": "cpu"}))
    refuses("--device cpu", "at least 10 forgotten samples", "there are 1;")
    assert count(target.store) == 4


def damage(target: Target, path: str, content: bytes) -> None:
    """Change a file that the unlearn run handed on; restore with the fixture's next copy."""
    uri = target.store.run(target.unlearned).info.artifact_uri
    file = Path(uri.removeprefix("file://")) / path
    file.write_bytes(content)


@pytest.fixture
def own_target(
    finished_prune: FinishedPrune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Target:
    """A target whose files are the test's own: those of a copied store are shared."""
    path = copy_store(finished_prune.path, tmp_path / "own")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
    store = connect()
    own = {"forget": "random:10%", "method": "ft", "prune_run_id": finished_prune.run_id}
    unlearn(Request(entry=own, method={"epochs": 1}, device={"device": "cpu"}))
    return Target(store, finished_prune.run_id, "none", newest(store).info.run_id)


def test_hand_overs_that_are_damaged(refuses: Refuses, own_target: Target) -> None:
    line = f"--unlearn_run_id {own_target.unlearned} --device cpu"
    config = json.loads(artifact(own_target.store, own_target.unlearned, "config.json").read_text())
    for other in (
        b"", b"[]", b"{}", json.dumps({**config, "method": "magic"}).encode(),
        json.dumps({**config, "epochs": -1}).encode(),
        json.dumps({"method": "ft"}).encode(),
    ):  # fmt: skip
        damage(own_target, "config.json", other)
        refuses(line, "config.json", own_target.unlearned, "does not say how it unlearned")
    damage(own_target, "config.json", json.dumps(config).encode())
    for numbers, text in (
        (np.arange(3), "not what the tag mu.forget says"),
        (np.zeros(3), "holds float64"),
    ):
        file = io.BytesIO()
        np.save(file, numbers, allow_pickle=False)
        damage(own_target, "forget/indices.npy", file.getvalue())
        refuses(line, "forget/indices.npy", text)
    damage(own_target, "forget/indices.npy", b"no numbers")
    refuses(line, "forget/indices.npy", "is damaged")
    assert count(own_target.store) == 2


@pytest.mark.slow
def test_runs_that_cannot_be_resumed(refuses: Refuses, target: Target) -> None:
    store = target.store
    interrupted(2, "--gamma", "2")
    run_id = newest_lira(store)
    start = f"--resume_run_id {run_id} --device cpu"
    refuses(f"{start} --references 6", "references=6 contradicts", "references=4")
    refuses(f"{start} --gamma 3", "gamma=3.0 contradicts")
    refuses(f"{start} --unlearn_run_id {target.original}", "unlearn_run_id=")
    refuses(f"--resume_run_id {target.unlearned}", "a run of unlearn, not of lira")
    assert store.run(run_id).info.status == "KILLED"
    assert call("lira", *start.split(), "--references", "4") == 0
    kept = json.loads(artifact(store, run_id, "config.json").read_text())
    assert kept["gamma"] == 2, "the run's, not the default"
    refuses(start, run_id, "is FINISHED")
    with tracked(store, "lira", "alive") as recorder:
        refuses(f"--resume_run_id {recorder.run_id}", "is RUNNING, as process", "stop it first")


# --- names --------------------------------------------------------------------------------


def test_names_are_on_the_page() -> None:
    page = set(re.findall(r"`([^`]+)`", (ROOT / "docs" / "names.md").read_text()))
    plain = {name for name in NUMBERS if not re.search(r"_(lo|hi|before|oracle)$", name)}
    assert {*plain, "lira", "reference_s", "plots/roc.png", "references/models.npz"} <= page
