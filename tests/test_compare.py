"""The entry compare: which runs it takes, what it writes, and what it refuses."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mu.errors import UserError
from mu.tracking import Store, connect, fingerprint_tags, of_experiment, tracked
from tests.commands import Program, call, newest_of
from tests.conftest import PrunedStore
from tests.test_main_job import files
from tests.tracking.handovers import hand_over, small_checkpoint

newest = partial(newest_of, entry="compare")
NUMBERS = {"UA": 90.0, "RA": 99.0, "TA": 94.0, "MIA": 92.0, "RTE": 2.0, "RA_before": 99.5}
FORMATS = {f"report/table.{ending}" for ending in ("md", "csv", "tex", "html")}


def unlearned(
    store: Store,
    method: str = "ft",
    *,
    upstream: str = "",
    seed: int = 0,
    metrics: Mapping[str, float] | None = None,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    name: str = "small",
    parent: str | None = None,
    entry: str = "unlearn",
) -> str:
    """A finished unlearn run as the entry point leaves it, without any unlearning."""
    checkpoint = small_checkpoint()
    with tracked(store, entry, name, parent=parent) as recorder:
        recorder.params({"method": method, "forget": "class:0", "seed": seed, **(params or {})})
        recorder.metrics({**NUMBERS, **(metrics or {})})
        digests = fingerprint_tags(checkpoint.save(recorder.folder))
        own = {"mu.oracle_key": "k"} if method == "retrain" else {}
        own |= {"mu.forget": "f0", "mu.data": "d0", "mu.upstream": upstream, **(tags or {})}
        recorder.tags({**digests, **own})
    return recorder.run_id


def kept(store: Store, name: str, folder: Path) -> str:
    """The text of a file that the newest comparison kept."""
    return Path(store.client.download_artifacts(newest(store), name, str(folder))).read_text()


def rows_of(store: Store, folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(kept(store, "report/table.csv", folder).splitlines()))


def runs_in(rows: list[dict[str, str]]) -> set[str]:
    return {run_id for row in rows for run_id in row["run_ids"].split()}


# --- real runs ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("painted")
def test_runs_that_were_really_made(pruned: PrunedStore, tmp_path: Path, program: Program) -> None:
    store = pruned.store
    common = ("--device", "cpu", "--prune_run_id", pruned.run_id, "--forget", "class:3")
    assert call("unlearn", "--method", "retrain", *common) == 0
    for seed in ("0", "1"):
        assert call("unlearn", "--method", "ft", "--epochs", "1", "--seed", seed, *common) == 0
    second, first, oracle = (run.info.run_id for run in store.search("tags.`mu.entry` = 'unlearn'"))
    status, out, err = program("compare")
    assert (status, err.startswith("compare run "), err.count("\n")) == (0, True, 1)
    run = store.run(newest(store))
    assert (run.info.status, run.data.tags["mu.entry"]) == ("FINISHED", "compare")
    assert set(files(store, newest(store))) == FORMATS | {"report/report.html"} | {
        f"plots/{name}.png" for name in ("gap", "trade_off", "radar_1")
    }
    logged = [store.run(one).data.metrics for one in (first, second)]
    gap = sum(one["gap"] for one in logged) / 2
    assert run.data.metrics == {"runs": 3, "groups": 1, "best_gap": pytest.approx(gap, abs=1e-3)}
    lines = {(one["row"], one["metric"]): one for one in rows_of(store, tmp_path)}
    for name in ("UA", "RA", "TA", "MIA", "gap", "RTE"):
        own = lines["ft", name]
        assert float(own["mean"]) == pytest.approx(sum(one[name] for one in logged) / 2)
        assert own["run_ids"].split() == [first, second]
    apart = [one["gap_UA"] for one in logged]
    assert float(lines["ft", "UA"]["distance"]) == pytest.approx(sum(apart) / 2, abs=2e-3)
    assert lines["retrain", "UA"]["run_ids"] == oracle
    page = kept(store, "report/report.html", tmp_path)
    for run_id in (first, second, oracle):
        assert f"/#/experiments/0/runs/{run_id}" in page
    assert "ft is nearest to the oracle" in page
    note = run.data.tags["mlflow.note.content"]
    assert "ft is nearest to the oracle" in note
    assert "| ft |" in note
    assert "report/report.html" in out
    assert f"/runs/{newest(store)}/artifacts/report/report.html?" in out  # opens the page
    # Once more: the comparison is not compared itself.
    assert program("compare")[0] == 0
    assert store.run(newest(store)).data.metrics["runs"] == 3


# --- which runs ---------------------------------------------------------------------------


@pytest.fixture
def original(store: Store) -> str:
    return hand_over(store, tags={"mu.spec": "s"})


def test_runs_by_id_bring_their_oracle(
    store: Store, original: str, program: Program, tmp_path: Path
) -> None:
    oracle = unlearned(store, "retrain", upstream=original)
    linked = unlearned(store, upstream=original, tags={"mu.oracle": oracle}, metrics={"gap": 1.5})
    found = unlearned(store, "ga", upstream=original, metrics={"UA": 82.0})
    unlearned(store, "iu", upstream=original)
    for one in (linked, found):
        assert program(f"compare --run_ids {one}")[0] == 0
        assert runs_in(rows_of(store, tmp_path)) == {oracle, one}
    assert program(f"compare --run_ids {linked},{found}")[0] == 0
    rows = rows_of(store, tmp_path)
    assert runs_in(rows) == {oracle, linked, found}
    gaps = {row["row"]: float(row["mean"]) for row in rows if row["metric"] == "gap"}
    assert gaps == {"ft": 1.5, "ga": 2.0}  # the second was never compared with an oracle before
    assert store.run(newest(store)).data.metrics["runs"] == 2


def test_oracles_of_other_data_are_not_brought(
    store: Store, original: str, program: Program, tmp_path: Path
) -> None:
    oracle = unlearned(store, "retrain", upstream=original)
    unlearned(store, "retrain", upstream=original, tags={"mu.data": "d1"})
    one = unlearned(store, "ga", upstream=original)
    assert program(f"compare --run_ids {one}")[0] == 0
    assert runs_in(rows_of(store, tmp_path)) == {oracle, one}


def test_runs_below_a_run(store: Store, original: str, program: Program, tmp_path: Path) -> None:
    with tracked(store, "backdoor", "over sparsity") as top:
        pass
    child = unlearned(store, upstream=original, parent=top.run_id, entry="backdoor")
    grandchild = unlearned(store, "retrain", upstream=original, parent=child)
    failed = unlearned(store, "iu", upstream=original, parent=top.run_id)
    store.client.update_run(failed, status="FAILED")
    unlearned(store, "ga", upstream=original)
    status, out, _ = program(["compare", "--parent", top.run_id])
    assert (status, "left out" in out) == (0, False)
    assert runs_in(rows_of(store, tmp_path)) == {child, grandchild}
    # All of the experiment: the run over all sparsities holds no network itself.
    status, out, _ = program("compare")
    assert (status, "left out" in out) == (0, False)
    assert store.run(newest(store)).data.metrics["runs"] == 3


def test_another_experiment(
    store: Store, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlearned(store)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "sweep 1")
    there = unlearned(connect(), "ga")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    assert program(["compare", "--experiment", "sweep 1"])[0] == 0
    assert runs_in(rows_of(store, tmp_path)) == {there}
    other = of_experiment(store, "sweep 1").experiment_id
    assert other != store.experiment_id
    assert f"/#/experiments/{other}/runs/{there}" in kept(store, "report/report.html", tmp_path)
    program.refuses(["compare", "--experiment", "swep 1"], "swep 1", "did you mean sweep 1")
    store.client.delete_experiment(other)
    program.refuses(["compare", "--experiment", "sweep 1"], "was deleted", "restore")


def test_a_run_that_cannot_be_read_is_left_out_unless_it_was_named(
    store: Store, program: Program
) -> None:
    good, bad = unlearned(store), unlearned(store, "ga")
    store.client.set_tag(bad, "mu.spec", "0" * 16)
    status, out, _ = program("compare")
    assert status == 0
    assert f"left out: checkpoint/spec.json of run {bad} is damaged" in out
    assert store.run(newest(store)).data.metrics["runs"] == 1
    count = len(list(store.search("")))
    program.refuses(f"compare --run_ids {good},{bad}", bad, "damaged")
    store.client.delete_run(good)
    program.refuses("compare", "can be read", bad)
    assert len(list(store.search(""))) == count - 1


# --- what is shown ------------------------------------------------------------------------


def test_without_an_oracle_there_is_a_note_and_no_error(
    store: Store, original: str, program: Program, tmp_path: Path
) -> None:
    unlearned(store, upstream=original)
    status, out, err = program("compare")
    assert (status, err.startswith("compare run "), err.count("\n")) == (0, True, 1)
    assert f"method=retrain -P prune_run_id={original} -P forget=class:0" in out
    assert "best_gap" not in store.run(newest(store)).data.metrics
    assert "no oracle" in kept(store, "report/report.html", tmp_path)


def test_columns_and_title(store: Store, program: Program, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    unlearned(store, name=evil, params={"note": evil})
    assert program(["compare", "--metrics", " TA , RTE,TA", "--title", evil])[0] == 0
    assert [row["metric"] for row in rows_of(store, tmp_path)] == ["TA", "RTE"]
    for name in ("report/report.html", "report/table.html"):
        page = kept(store, name, tmp_path)
        assert "<h1>&lt;script&gt;" in page
        assert "alert(1)</script>" not in page


def test_links_lead_where_runs_are_browsed(store: Store, program: Program, tmp_path: Path) -> None:
    run = unlearned(store)
    _, out, _ = program("compare --tracking_ui http://me:hunter2@host:81/mlflow/")
    page = kept(store, "report/report.html", tmp_path)
    address = f"http://host:81/mlflow/#/experiments/{store.experiment_id}/runs/"
    assert f'href="{address}{run}' in page
    assert f"{address}{newest(store)}" in out
    assert "hunter2" not in page + out


def test_groups_are_counted(store: Store, program: Program) -> None:
    unlearned(store)
    unlearned(store, params={"forget": "class:1"}, tags={"mu.forget": "f1"})
    assert program("compare")[0] == 0
    assert store.run(newest(store)).data.metrics["groups"] == 2


def test_a_description_never_outgrows_what_mlflow_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    from mu.report.comparison.table import tabulate
    from mu.tasks import compare
    from mu.tasks.compare import describe
    from mu.tracking import Chosen
    from tests.report.comparison.made import a_study, make_run

    few = describe(Chosen("those named", a_study(), 12), tabulate(a_study()))
    assert "| l1_sparse |" in few
    many = [make_run(str(n), forget=f"class:{n}") for n in range(24)]
    words = describe(Chosen("those named", many, 24), tabulate(many))
    assert "| ft |" not in words
    assert "report/table.md" in words
    monkeypatch.setattr(compare, "LONGEST", len(few) // 2)
    short = describe(Chosen("those named", a_study(), 12), tabulate(a_study()))
    assert len(short) <= len(few) // 2 + 2


# --- what is refused ----------------------------------------------------------------------


def test_mistakes_are_answered_before_a_run_is_opened(store: Store, program: Program) -> None:
    program.refuses("compare", "no finished unlearn run in experiment 'Default'", "mlflow run")
    prune = hand_over(store)
    failed = hand_over(store, entry="unlearn", status="FAILED")
    program.refuses("compare", "no finished unlearn run")
    run = unlearned(store)
    count = len(list(store.search("")))
    program.refuses("compare --run_ids nonsense", "nonsense")
    program.refuses(f"compare --run_ids {run},{run}", run, "twice")
    program.refuses(f"compare --run_ids {run},{prune}", prune, "entry prune")
    program.refuses(f"compare --run_ids {run},{failed}", failed, "FAILED")
    program.refuses(["compare", "--run_ids", " , "], "names no run")
    program.refuses(f"compare --parent {run}", run, "no runs below it")
    program.refuses("compare --parent nonsense", "nonsense")
    program.refuses(f"compare --parent {run} --run_ids {run}", "run_ids and parent", "one of them")
    program.refuses("compare --metrics UAA", "UAA", "did you mean UA")
    program.refuses(["compare", "--metrics", ","], "names none")
    for address in ("localhost:5000", "ftp://host", "http://", "http://host:x", "http://a b"):
        program.refuses(["compare", "--tracking_ui", address], address, "http://HOST:PORT")
    program.refuses("compare --metrics ASR", "no run has ASR", "evaluate")
    with tracked(store, "sweep", "empty") as top:
        pass
    with tracked(store, "prune", "child", parent=top.run_id):
        pass
    program.refuses(f"compare --parent {top.run_id}", "no finished unlearn run below", top.run_id)
    assert len(list(store.search(""))) == count + 2


def test_no_experiment_is_made_by_asking_for_one(store: Store) -> None:
    with pytest.raises(UserError, match="nowhere"):
        of_experiment(store, "nowhere")
    assert store.client.get_experiment_by_name("nowhere") is None
