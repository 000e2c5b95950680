"""``mu runs``, ``mu show`` and ``mu completion``: looking at what came of the work."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from mu.cli import listing, showing
from mu.report.differences import change, text_of
from mu.tracking import Store, below, connect, derived, read_run, tracked
from tests.commands import call
from tests.conftest import copy_store, store_uri
from tests.processes import run_python


def made(
    store: Store,
    entry: str,
    name: str = "it",
    *,
    metrics: Mapping[str, float] | None = None,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    parent: str | None = None,
) -> str:
    with tracked(store, entry, name, parent=parent) as recorder:
        recorder.params(params or {})
        recorder.metrics(metrics or {})
        recorder.tags(tags or {})
    return recorder.run_id


def failed(store: Store, reason: str) -> str:
    with pytest.raises(RuntimeError), tracked(store, "unlearn", "broken") as recorder:
        raise RuntimeError(reason)
    return recorder.run_id


@pytest.fixture(scope="module")
def relatives(
    empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """A store, and of the runs in it what :func:`family` says; copy it."""
    path = copy_store(empty_store, tmp_path_factory.mktemp("family"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
        return path, _family(connect())


@pytest.fixture
def family(relatives: tuple[Path, dict[str, str]], store: Store) -> dict[str, str]:
    """An original, its oracle, two unlearned models, and one that failed, all in the store."""
    path, made = relatives
    own = store.uri.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(own)) as target:
        source.backup(target)
    return made


def _family(store: Store) -> dict[str, str]:
    original = made(
        store,
        "prune",
        "net 95 %",
        metrics={"TA": 94.0, "sparsity": 95.0, "loss": 0.1},
        params={"dataset": "digits", "data_dir": "none"},
        tags={"mu.data": "0123456789abcdef", "mu.mask": "m"},
    )
    up = {"mu.upstream": original}
    oracle = made(
        store,
        "unlearn",
        "retrain class:0",
        metrics={"UA": 100.0, "RA": 99.0, "RTE": 9.0},
        params={"method": "retrain"},
        tags={**up, "mu.oracle_key": "k"},
    )
    compared = {**up, "mu.oracle": oracle}
    ft = made(
        store,
        "unlearn",
        "ft class:0",
        metrics={"UA": 80.0, "UA_before": 0.0, "RA": 98.0, "gap": 20.0},
        params={"method": "ft"},
        tags=compared,
    )
    l1 = made(
        store,
        "unlearn",
        "l1_sparse [red]class:0",
        metrics={"UA": 99.0, "gap": 0.5},
        params={"method": "l1_sparse"},
        tags=compared,
    )
    broken = failed(store, "the disk is full")
    return {"original": original, "oracle": oracle, "ft": ft, "l1": l1, "failed": broken}


# --- mu runs ------------------------------------------------------------------------------


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert call("mu", "runs", *arguments) == 0
    return capsys.readouterr().out.splitlines()


def test_all_runs_newest_first_with_their_numbers(store, family, capsys):
    head, *rows, note = listed(capsys)
    assert head.split() == ["run", "entry", "name", "sparsity", "UA", "RA", "TA", "gap", "RTE"]
    order = ("failed", "l1", "ft", "oracle", "original")
    assert [row.split()[0] for row in rows] == [family[name] for name in order]
    assert "broken (failed)" in rows[0]
    assert "l1_sparse [red]class:0" in rows[1]
    assert rows[2].split()[-6:] == ["-", "80.00", "98.00", "-", "20.00", "-"]
    assert rows[4].split()[-6:] == ["95.00", "-", "-", "94.00", "-", "-"]
    assert note == f"note: {family['failed']}: the disk is full"


@pytest.mark.parametrize(
    ("line", "names"),
    [
        (["--entry", "prune"], ["original"]),
        (["--method", "FT"], ["ft"]),
        (["--status", "failed"], ["failed"]),
        (["--sort", "gap"], ["l1", "ft"]),
        (["--sort", "UA"], ["oracle", "l1", "ft"]),
        (["--sort", "RTE"], ["oracle"]),
        (["--sort", "UA", "--limit", "1"], ["oracle"]),
        (["--entry", "unlearn", "--status", "FINISHED", "--limit", "2"], ["l1", "ft"]),
    ],
)
def test_some_runs(store, family, capsys, line, names):
    found = [json.loads(text)["run_id"] for text in listed(capsys, "--json", *line)]
    assert found == [family[name] for name in names]


def test_runs_without_the_number_are_counted(store, family, capsys):
    assert listed(capsys, "--sort", "gap")[-1] == "3 more without gap"
    assert "more without" not in " ".join(listed(capsys, "--sort", "gap", "--json"))


def test_json_has_all_of_a_run(store, family, capsys):
    (text,) = listed(capsys, "--json", "--method", "ft")
    one = json.loads(text)
    assert one["metrics"] == {"UA": 80.0, "UA_before": 0.0, "RA": 98.0, "gap": 20.0}
    assert one["params"]["method"] == "ft"
    assert one["tags"]["mu.upstream"] == family["original"]
    assert one["entry"] == "unlearn"
    assert one["seconds"] >= 0


def test_ids_are_short_where_a_line_is(store, family, capsys, monkeypatch):
    monkeypatch.setattr("mu.report.console.UNCUT", 100)
    rows = listed(capsys)[1:]
    assert rows[0].split()[0] == family["failed"][: listing.SHORT]


def test_an_empty_experiment_says_how_to_begin(store, capsys):
    assert listed(capsys) == ["no such run; start one: mlflow run . -e prune"]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (["--entry", "unlern"], "did you mean unlearn"),
        (["--method", "f"], "unknown method 'f'"),
        (["--status", "done"], "unknown status 'done'"),
        (["--sort", "gpa"], "did you mean gap"),
        (["--sort", "ece"], "no run has that metric"),
        (["--limit", "0"], "0"),
    ],
)
def test_what_is_misspelt_is_one_line(store, family, capsys, line, text):
    assert call("mu", "runs", *line) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1


def test_less_is_better_of_gap_and_time_only():
    names = ("gap", "RTE", "UA", "TA", "alpha", "unheard_of")
    assert [name for name in names if listing.smallest_is_best(name)] == ["gap", "RTE"]


# --- mu show ------------------------------------------------------------------------------


def shown(capsys: pytest.CaptureFixture[str], run_id: str) -> str:
    assert call("mu", "show", run_id) == 0
    return capsys.readouterr().out


def above_the_numbers(text: str) -> str:
    return text.split("\nmetric")[0]


def test_a_run_with_its_lineage(store, family, capsys):
    text = shown(capsys, family["ft"])
    lines = text.splitlines()
    assert lines[0] == f"unlearn run {family['ft']}"
    assert "digits (fingerprint 0123456789abcdef)" in lines
    tree = [line.split("── ")[1] for line in lines if "──" in line]
    first = [one.split(" ")[0] for one in tree]
    assert first == [family["original"], family["ft"], "compared"]
    assert family["oracle"] in tree[2]
    assert "(TA 94.00, sparsity 95.00)" in tree[0]
    assert f"mlflow run . -e evaluate -P run_id={family['ft']}" in text


def test_numbers_stand_beside_the_originals_and_the_oracles(store, family, capsys):
    text = shown(capsys, family["ft"]).split("\nmetric")[1]
    rows = {line.split()[0]: line.split()[1:] for line in f"metric{text}".splitlines() if line}
    assert rows["metric"] == ["value", "before", "oracle"]
    assert rows["UA"] == ["80", "0", "100"]
    assert rows["RA"] == ["98", "-", "99"]
    assert rows["gap"] == ["20", "-", "-"]


def test_an_original_shows_what_came_of_it(store, family, capsys):
    text = shown(capsys, family["original"][:10])
    there = [name for name in family if family[name] in above_the_numbers(text)]
    assert there == ["original", "oracle", "ft", "l1"]
    assert f"-P prune_run_id={family['original']}" in text
    assert f'mu.load_model("{family["original"]}")' in text
    assert f"mlflow models serve -m runs:/{family['original']}/checkpoint" in text


def test_a_failed_run_says_why_and_how_to_go_on(store, family, capsys):
    text = shown(capsys, family["failed"])
    assert "the disk is full" in text
    assert f"-P resume_run_id={family['failed']}" in text


def test_what_makes_the_numbers_worth_little_is_said(store, capsys):
    oracle = made(store, "unlearn", metrics={"RA": 60.0}, tags={"mu.oracle_key": "k"})
    metrics = {"RA": 98.0, "RA_before": 99.5, "gap": 10.0}
    text = shown(capsys, made(store, "unlearn", metrics=metrics, tags={"mu.oracle": oracle}))
    assert "warning: the oracle has RA 60.0 % on its training data, the original 99.5 %" in text


def test_names_of_runs_are_no_markup(store, family, capsys):
    assert "l1_sparse [red]class:0" in shown(capsys, family["l1"])


def test_runs_that_are_gone_are_left_out(store, family, capsys):
    for name in ("original", "oracle"):
        store.client.delete_run(family[name])
    text = above_the_numbers(shown(capsys, family["ft"]))
    assert family["original"] not in text
    assert "compared" not in text


def test_many_that_came_of_a_run_are_counted(store, family, capsys, monkeypatch):
    monkeypatch.setattr(showing, "MOST_DERIVED", 1)
    assert "and 2 more" in shown(capsys, family["original"])


def test_runs_below_a_run_are_shown(store, capsys):
    outer = made(store, "backdoor", "outer")
    inner = made(store, "prune", "inner", parent=outer)
    assert inner in shown(capsys, outer)
    assert [one.run_id for one in derived(store, read_run(store, outer))] == [inner]


def test_a_sweep_has_the_runs_that_it_found_made_already(store, family, capsys):
    tasks = [{"run_id": family["ft"]}, {"run_id": None}, {"run_id": "f" * 32}]
    with tracked(store, "sweep", "1 cell") as recorder:
        (recorder.folder / "sweep.json").write_text(json.dumps({"tasks": tasks}))
    assert family["ft"] in shown(capsys, recorder.run_id)
    assert [one.run_id for one in below(store, recorder.run_id[:12])] == [family["ft"]]


# --- mu diff ------------------------------------------------------------------------------


def diffed(capsys: pytest.CaptureFixture[str], *words: str) -> list[list[str]]:
    assert call("mu", "diff", *words) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines() if line]


def test_two_runs_differ_in_settings_numbers_and_lineage(store, family, capsys):
    lines = diffed(capsys, family["ft"][:12], family["l1"][:12])
    assert ["method", "ft", "l1_sparse"] in lines
    assert ["UA", "80.00", "99.00", "+19.00"] in lines
    assert not [line for line in lines if line[0] in ("original", "mask", "oracle")]
    assert "lineage (2)" in " ".join(lines[-1])
    lines = diffed(capsys, family["ft"], family["oracle"])
    assert ["oracle", family["oracle"][:12], "not", "set"] in lines


def test_runs_of_two_entries_differ_in_what_both_have(store, family, capsys):
    lines = diffed(capsys, family["original"], family["ft"])
    assert ["entry", "prune", "unlearn"] in lines
    assert not [line for line in lines if line[0] in ("method", "dataset", "UA")]
    assert ["original", "not", "set", family["original"][:12]] in lines


def test_one_run_twice_is_refused(store, family, capsys):
    assert call("mu", "diff", family["ft"], family["ft"][:12]) == 2
    assert "same run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mine", "yours", "verdict"),
    [
        ((10.0, 8.0, 13.0), (14.0, 11.0, 20.0), "inside"),  # 4 of the root of 9 and 9
        ((10.0, 8.0, 12.0), (14.0, 11.0, 20.0), "beyond"),  # 4 of the root of 4 and 9
        ((14.0, 11.0, 20.0), (10.0, 8.0, 12.0), "beyond"),
        ((10.0, 9.0, 11.0), (10.5, None, None), ""),
    ],
)
def test_a_difference_is_inside_the_intervals_or_beyond(mine, yours, verdict):
    one, other = (
        {n: v for n, v in zip(("TA", "TA_lo", "TA_hi"), values, strict=True) if v is not None}
        for values in (mine, yours)
    )
    found = change("TA", one, other)
    assert (found.difference, found.verdict) == (yours[0] - mine[0], verdict)


def test_digits_of_ids_and_fingerprints_are_cut_and_words_are_not():
    assert text_of("0123456789abcdef") == "0123456789ab"
    assert [text_of(one) for one in ("feedbackless", 1e-9, None)] == [
        "feedbackless",
        "1e-09",
        "not set",
    ]


# --- mu completion ------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_told_how_to_complete(shell, capsys):
    assert call("mu", "completion", shell) == 0
    assert "_MU_COMPLETE" in capsys.readouterr().out


def test_an_unknown_shell_is_refused(capsys):
    assert call("mu", "completion", "cmd") == 2
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err


@pytest.mark.slow
def test_completion_completes():
    code = (
        "import os; os.environ |= {'_MU_COMPLETE': 'bash_complete', 'COMP_WORDS': 'mu sh', "
        "'COMP_CWORD': '1'}\nfrom mu.cli.mu import mu; mu(prog_name='mu')"
    )
    assert run_python("-c", code).stdout.strip() == "plain,show"
