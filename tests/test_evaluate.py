"""Measuring runs that were made before: numbers, plots, what is compared, and what is refused."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mu.cli.requests import DeviceOptions
from mu.evaluation.catalogue import metric
from mu.evaluation.distance.klom import klom_by_part
from mu.evaluation.unlearning import predict_split
from mu.rounding import rounded
from mu.runs import Run
from mu.tasks import evaluate as evaluate_task
from mu.tasks.resolve import oracle_of, problem_of
from mu.tracking import load_checkpoint, read_run
from tests.commands import Program, call, newest_of
from tests.conftest import UnlearnedStore
from tests.test_main_job import files

newest = partial(newest_of, entry="evaluate")
PLOTS = {f"{name}.png" for name in ("scores", "roc", "classes", "calibration", "confusion")}


def test_everything_is_measured_logged_and_added(
    unlearned: UnlearnedStore, program: Program
) -> None:
    subject, store = unlearned.unlearned[0], unlearned.store
    before = store.run(subject).data.metrics
    assert not {f"evaluation/{name}" for name in PLOTS} & set(files(store, subject))
    line = (
        f"evaluate --run_id {subject} --metrics all --run_ids {unlearned.unlearned[1]} --device cpu"
    )
    status, out, _ = program(f"{line} --oracle_run_ids {unlearned.oracles[0]}")
    assert status == 0
    own, after = (store.run(run_id).data.metrics for run_id in (newest(store), subject))
    for name in ("MIA_prob", "MIA_auc_hi", "ece", "tow", "js_retain", "relearn_steps", "klom_test"):
        assert own[name] == after[name]
        assert metric(name).definition
    # What unlearn had measured of the same model is found again, to the digit.
    again = {name: value for name, value in own.items() if name in before}
    assert {"UA", "RA", "TA", "MIA", "gap", "gap_lo", "MIA_privacy_entropy", "tow"} <= set(again)
    assert again == {name: before[name] for name in again}
    problem = problem_of(store, read_run(store, subject), DeviceOptions(device="cpu"), None)
    by_hand = klom_by_part(
        *(
            [
                predict_split(load_checkpoint(one).model, problem.split, Run(device="cpu"))
                for one in ids
            ]
            for ids in (unlearned.unlearned, unlearned.oracles[::-1])
        )
    )
    assert {name: own[name] for name in by_hand} == {n: rounded(v) for n, v in by_hand.items()}
    assert own["UA_oracle"] == store.run(unlearned.oracles[1]).data.metrics["UA"]
    assert "relearn_steps" in out
    assert "report/summary.md" in set(files(store, newest(store)))
    assert len(store.run(newest(store)).data.tags["mlflow.note.content"]) < 5000
    assert {f"evaluation/{name}" for name in PLOTS} <= set(files(store, subject))
    assert {f"plots/{name}" for name in PLOTS} <= set(files(store, newest(store)))
    assert store.run(subject).info.status == "FINISHED"
    assert store.run(subject).data.tags["mu.evaluation"] == newest(store)
    assert store.run(newest(store)).data.tags["mu.upstream"] == subject


def test_only_what_is_asked_for_is_measured_and_a_run_can_be_left_as_it_is(
    unlearned: UnlearnedStore, program: Program
) -> None:
    subject, store = unlearned.unlearned[0], unlearned.store
    before = store.run(subject).data
    line = f"evaluate --run_id {subject} --metrics ece,gap --add false --device cpu"
    assert program(line)[0] == 0
    found = store.run(newest(store)).data.metrics
    assert set(found) == {"ece", "gap", "gap_lo", "gap_hi", "ece_oracle"}
    path = store.client.download_artifacts(newest(store), "metrics.json")
    kept = json.loads(Path(path).read_text())
    assert kept["oracle"] == {"ece": found["ece_oracle"]}
    assert kept["model"] == {name: found[name] for name in ("ece", "gap", "gap_lo", "gap_hi")}
    assert store.run(subject).data.metrics == before.metrics
    assert store.run(subject).data.tags == before.tags


def test_warnings_are_of_what_was_measured_now(unlearned: UnlearnedStore) -> None:
    subject = SimpleNamespace(run_id=unlearned.unlearned[0], is_original=False)
    now: Any = SimpleNamespace(store=unlearned.store, subject=subject, oracle_id=None)
    wide = {"MIA": 50.0, "MIA_lo": 0.0, "MIA_hi": 100.0}
    found = [{one.rule for one in evaluate_task._alarms(now, one, {})} for one in ({}, wide)]
    assert found[1] - found[0] == {"forget_set"}


@pytest.mark.slow
def test_depth_is_found_again_and_with_another_seed_not_added(
    unlearned: UnlearnedStore, program: Program
) -> None:
    store, subject = unlearned.store, unlearned.unlearned[0]
    before = store.run(subject).data.metrics
    for seed in (0, 4):
        line = f"evaluate --run_id {subject} --metrics relearn --seed {seed} --device cpu"
        status, out, _ = program(line)
        assert status == 0
        found = store.run(newest(store)).data.metrics
        assert {"relearn_steps", "prototype_acc_oracle", "probe_acc", "cka_original"} <= set(found)
        assert store.run(subject).data.metrics == before
        assert (found == {name: before[name] for name in found}) == (seed == 0)
        assert ("in the evaluation's run only" in " ".join(out.split())) == (seed != 0)


@pytest.mark.slow
def test_an_oracle_as_its_own_oracle_has_no_gap(
    unlearned: UnlearnedStore, program: Program
) -> None:
    one = unlearned.oracles[0]
    assert program(f"evaluate --run_id {one} --oracle_run_id {one} --device cpu")[0] == 0
    found = unlearned.store.run(newest(unlearned.store)).data.metrics
    for name in ("gap", "gap_lo", "gap_hi", "js_forget", "js_test", "weight_distance"):
        assert found[name] == 0, name
    assert (found["tow"], found["agreement_test"]) == (1, 100)


def test_an_oracle_is_not_found_as_its_own(unlearned: UnlearnedStore) -> None:
    store, (one, other) = unlearned.store, unlearned.oracles
    problem = problem_of(store, read_run(store, one), DeviceOptions(device="cpu"), None)
    found = [oracle_of(store, "find", lambda: problem, None, own) for own in (one, other)]
    assert found == [other, one]


@pytest.mark.slow
def test_an_oracle_is_held_against_another_one_and_not_added_to(
    unlearned: UnlearnedStore, program: Program
) -> None:
    store = unlearned.store
    for one, other in (unlearned.oracles, unlearned.oracles[::-1]):
        before = set(store.run(one).data.metrics)
        status, out, _ = program(f"evaluate --run_id {one} --device cpu")
        assert status == 0
        assert "is an oracle itself" in out
        evaluation = store.run(newest(store)).data
        assert evaluation.tags["mu.oracle"] == other
        assert evaluation.metrics["gap"] > 0
        added = set(store.run(one).data.metrics) - before
        assert "ece" in added
        assert not {"gap", "gap_UA", "tow", "js_test", "UA_oracle"} & added


@pytest.mark.slow
def test_distances_to_another_oracle_stay_in_the_evaluation(
    unlearned: UnlearnedStore, program: Program
) -> None:
    store, subject = unlearned.store, unlearned.unlearned[0]
    own = store.run(subject).data.tags["mu.oracle"]
    (other,) = set(unlearned.oracles) - {own}
    before = store.run(subject).data
    status, out, _ = program(f"evaluate --run_id {subject} --oracle_run_id {other} --device cpu")
    assert status == 0
    assert f"compared with {own}" in out
    after, evaluation = store.run(subject).data, store.run(newest(store)).data
    distances = {"gap", "gap_UA", "gap_MIA", "gap_lo", "js_forget", "tow"}
    assert {n: after.metrics[n] for n in distances} == {n: before.metrics[n] for n in distances}
    assert evaluation.metrics["gap"] != before.metrics["gap"]
    assert (after.tags["mu.oracle"], evaluation.tags["mu.oracle"]) == (own, other)
    assert "weight_distance" not in after.metrics
    assert "ece" in after.metrics


def test_the_files_of_a_run_give_what_the_run_gives(
    unlearned: UnlearnedStore, program: Program, tmp_path: Path
) -> None:
    subject, store = unlearned.unlearned[0], unlearned.store
    for folder in ("checkpoint", "mask"):
        store.client.download_artifacts(subject, folder, str(tmp_path))
    oracle = unlearned.oracles[1]
    line = f"evaluate --checkpoint {tmp_path} --oracle_run_id {oracle} --device cpu"
    assert program(line)[0] == 0
    found, known = (store.run(one).data.metrics for one in (newest(store), subject))
    for name in ("UA", "RA", "MIA", "MIA_auc", "gap", "js_forget", "tow"):
        assert found[name] == known[name], name
    assert program(f"evaluate --checkpoint {tmp_path} --device cpu")[0] == 0
    assert "gap" not in store.run(newest(store)).data.metrics


@pytest.mark.slow
def test_an_original_is_measured_on_what_it_is_to_forget(
    unlearned: UnlearnedStore, program: Program
) -> None:
    kept = unlearned.store.run(unlearned.original).data
    line = f"evaluate --run_id {unlearned.original} --forget class:3 --device cpu"
    status, out, _ = program(line)
    assert status == 0
    assert "no one forget set" in out
    again = unlearned.store.run(unlearned.original).data
    assert (again.metrics, again.tags) == (kept.metrics, kept.tags)
    found = unlearned.store.run(newest(unlearned.store)).data.metrics
    before = unlearned.store.run(unlearned.unlearned[0]).data.metrics
    assert found["UA"] == before["UA_before"]
    assert found["MIA"] == before["MIA_before"]


def test_mistakes_are_answered_before_anything_runs(
    unlearned: UnlearnedStore, program: Program, tmp_path: Path
) -> None:
    run, count = unlearned.unlearned[0], len(list(unlearned.store.search("")))
    program.refuses("evaluate", "run_id or checkpoint")
    program.refuses(f"evaluate --run_id {run} --checkpoint {tmp_path}", "one of them")
    program.refuses(f"evaluate --run_id {run} --metrics gapp", "gapp", "did you mean gap")
    program.refuses(["evaluate", "--run_id", run, "--metrics", " , "], "names nothing")
    program.refuses(f"evaluate --run_id {run} --forget class:4", "class:4", "leave forget out")
    program.refuses(f"evaluate --run_id {unlearned.original}", "give forget")
    program.refuses(f"evaluate --run_id {run} --oracle_run_id {run}", run, "no oracle")
    program.refuses(f"evaluate --run_id {run} --oracle_run_id train", "only unlearn trains")
    program.refuses(
        f"evaluate --run_id {unlearned.other} --oracle_run_id {unlearned.oracles[0]}", "of other"
    )
    program.refuses("evaluate --run_id nonsense", "nonsense")
    program.refuses(f"evaluate --checkpoint {tmp_path}/nothing", "nothing")
    assert len(list(unlearned.store.search(""))) == count


def test_what_a_measurement_needs_is_named(unlearned: UnlearnedStore, program: Program) -> None:
    line = f"evaluate --run_id {unlearned.unlearned[0]} --device cpu"
    program.refuses(f"{line} --metrics klom", "run_ids and oracle_run_ids")
    program.refuses(f"{line} --metrics gap --oracle_run_id none", "needs an oracle")
    more = f"--metrics klom --run_ids {unlearned.other} --oracle_run_ids {unlearned.oracles[0]}"
    program.refuses(f"{line} {more}", unlearned.other, "not unlearned the same samples")
    (first, second), (oracle, other) = unlearned.unlearned, unlearned.oracles
    own = f"{line} --metrics klom"
    program.refuses(f"{own} --run_ids nonsense --oracle_run_ids {oracle}", "nonsense")
    program.refuses(f"{own} --run_ids {first} --oracle_run_ids {oracle}", first, "twice")
    found = f"{own} --oracle_run_id {other} --run_ids {second}"
    program.refuses(f"{found} --oracle_run_ids {other}", other, "twice")
    program.refuses(f"{found} --oracle_run_ids {second}", second, "twice")
    alone = f"{own} --oracle_run_id none"
    program.refuses(f"{alone} --run_ids {oracle} --oracle_run_ids {other}", "method")
    program.refuses(
        f"evaluate --run_id {oracle} --metrics klom --oracle_run_ids {first}", "no oracle"
    )
    assert not list(unlearned.store.search("tags.`mu.entry` = 'evaluate'")), "nothing half-made"


def test_the_links_of_a_page_lead_to_the_evaluation(
    unlearned: UnlearnedStore, program: Program
) -> None:
    line = f"evaluate --run_id {unlearned.unlearned[0]} --metrics ece --add false --device cpu"
    _, out, _ = program(line)
    assert f"/runs/{newest(unlearned.store)}" in out


def test_the_catalogue_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("mu", "metrics") == 0
    assert "MIA_privacy_prob" in capsys.readouterr().out
