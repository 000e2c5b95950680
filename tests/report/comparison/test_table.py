"""From runs to tables: what is averaged, what is never mixed, what is best."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from scipy import stats

from mu.alike import canonical
from mu.report.comparison.cautions import RULES, cautions
from mu.report.comparison.groups import DENSE, block_key, tell_apart
from mu.report.comparison.table import Table, tabulate
from mu.run_record import RunRecord
from tests.helpers import laws
from tests.report.comparison.made import a_study, cell, has, make_run

PERCENT = st.floats(0, 100).map(lambda value: round(value, 3))


def only(runs: Sequence[RunRecord], metrics: Sequence[str] | None = None) -> Table:
    (table,) = tabulate(runs, metrics)
    return table


def ids(table: Table) -> set[str]:
    return set(table.runs.index)


# --- numbers ------------------------------------------------------------------------------


def test_dense_and_sparse_with_the_oracle_first() -> None:
    table = only(a_study())
    assert table.heading == "digits, resnet_mini: forget class:0"
    assert table.metrics == ("UA", "MIA", "RA", "TA", "gap", "RTE")
    assert list(table.originals.index) == ["dense", "95 % sparse"]
    assert list(table.originals["sparsity"]) == [0.0, 95.0]
    assert table.rows == {"retrain": "retrain", "ft": "ft", "l1_sparse": "l1_sparse"}
    assert (cell(table, "ft", "UA").mean, cell(table, "ft", "UA", 1).mean) == (60.0, 96.0)
    assert cell(table, "ft", "MIA").distance == pytest.approx(40.5)
    assert cell(table, "ft", "gap").mean == pytest.approx((20 + 20.25) / 2)
    assert cell(table, "ft", "RTE").mean == 2.5
    assert math.isnan(cell(table, "ft", "RTE").distance)
    assert math.isnan(cell(table, "retrain", "UA").distance)
    assert not has(table, "retrain", "gap")


@laws(60)
@given(st.lists(PERCENT, min_size=1, max_size=6))
def test_means_and_standard_deviations(values: list[float]) -> None:
    runs = [make_run(str(n), seed=n, metrics={"TA": v}) for n, v in enumerate(values)]
    found = cell(only(runs), "ft", "TA")
    assert found.mean == pytest.approx(statistics.mean(values))
    if len(values) == 1:
        assert math.isnan(found.sd)
    else:
        assert found.sd == pytest.approx(statistics.stdev(values), abs=1e-9)
    assert list(found.per_run) == values
    assert list(found.run_ids) == [str(n) for n in range(len(values))]


@laws(40)
@given(st.lists(st.tuples(PERCENT, PERCENT), min_size=1, max_size=5))
def test_the_distance_is_the_mean_of_each_runs_own(pairs: list[tuple[float, float]]) -> None:
    runs = []
    for n, (ours, theirs) in enumerate(pairs):
        runs.append(make_run(f"o{n}", "retrain", training=n, metrics={"UA": theirs}))
        runs.append(make_run(f"f{n}", training=n, oracle=f"o{n}", metrics={"UA": ours}))
    random.Random(0).shuffle(runs)
    assert cell(only(runs), "ft", "UA").distance == pytest.approx(
        statistics.mean(abs(a - b) for a, b in pairs)
    )


def test_an_oracle_with_a_nan_gives_no_distance() -> None:
    oracles = [make_run(f"o{n}", "retrain", training=n, metrics={"UA": ua})
               for n, ua in enumerate((math.nan, 95.0))]  # fmt: skip
    runs = [make_run(f"f{n}", training=n, oracle=f"o{n}") for n in range(2)]
    assert cell(only([*oracles, *runs]), "ft", "UA").distance == 5.0


@pytest.mark.slow
@laws(25)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_runs_does_not_matter(chance: random.Random) -> None:
    runs = [
        *a_study(),
        make_run("again", seed=1, training=1, started=9),
        make_run("other", forget="class:1"),
        make_run("slow", settings={"lr": "0.01"}),
    ]
    expected = tabulate(runs)
    chance.shuffle(runs)
    for one, other in zip(tabulate(runs), expected, strict=True):
        assert (one.heading, one.about, one.metrics, one.repeats) == (
            other.heading, other.about, other.metrics, other.repeats,
        )  # fmt: skip
        for name in ("cells", "originals", "runs"):
            assert_frame_equal(getattr(one, name), getattr(other, name))


def test_an_interval_is_over_seeds_or_of_a_single_run_over_samples() -> None:
    runs = a_study()
    several = cell(only(runs), "ft", "gap")
    half = stats.t.ppf(0.975, 1) * several.sd / math.sqrt(2)
    assert (several.low, several.high) == pytest.approx((several.mean - half, several.mean + half))
    single = cell(only([run for run in runs if run.run_id.endswith("d0")]), "ft", "gap")
    assert (single.low, single.mean, single.high) == (19.5, 20.0, 20.5)


def test_values_that_are_nan_are_left_out_and_a_caution_says_so() -> None:
    runs = [
        make_run("a", seed=0, metrics={"TA": 90.0}),
        make_run("b", seed=1, metrics={"TA": float("nan")}),
        make_run("c", seed=2, metrics={"TA": 92.0}, without=("UA",)),
    ]
    table = only(runs)
    assert cell(table, "ft", "TA").mean == 91.0
    assert cell(table, "ft", "UA").runs == 2
    assert any("NaN" in note and "run b" in note for note in cautions(table))
    alone = only(runs[1:2], ["TA"])  # its row is there all the same
    assert (list(alone.rows), has(alone, "ft", "TA")) == (["ft"], False)


def test_columns_that_are_asked_for() -> None:
    assert only(a_study(), ["gap", "TA"]).metrics == ("gap", "TA")
    attacked = [replace(run, metrics={**run.metrics, "ASR": 3.0}) for run in a_study()]
    assert only(attacked).metrics == ("UA", "MIA", "RA", "TA", "ASR", "gap", "RTE")


# --- groups -------------------------------------------------------------------------------

FACETS: dict[str, list[dict[str, Any]]] = {
    "data": [{}, {"original": {"data": "bb" * 8}}],
    "arch": [{}, {"original": {"arch": "resnet14"}}],
    "training": [{}, {"original": {"prune_epochs": 40}}],
    "poison": [{}, {"original": {"trigger": "patch", "poison": "random:10%"}}],
    "forget": [{}, {"forget": "class:1"}],
    "history": [{}, {"original": {"history": ("pruned", "ft")}}],
}
CHOICES = st.tuples(*(st.integers(0, 1) for _ in FACETS), st.booleans(), st.integers(0, 2))


@laws(25)
@given(st.lists(CHOICES, min_size=1, max_size=12))
def test_what_cannot_be_compared_is_never_mixed(choices: list[tuple[int, ...]]) -> None:
    runs, facets = [], {}
    for number, (*chosen, sparse, seed) in enumerate(choices):
        given: dict[str, Any] = {"original": {}}
        for picked, options in zip(chosen, FACETS.values(), strict=True):
            extra = options[picked]
            given["original"] |= extra.get("original", {})
            given |= {n: v for n, v in extra.items() if n != "original"}
        runs.append(make_run(str(number), sparse=bool(sparse), seed=seed, **given))
        facets[str(number)] = tuple(chosen)
    sparsity = {run.run_id: run.sparsity for run in runs}
    tables = tabulate(runs)
    assert len(tables) == len(set(facets.values()))
    assert len({table.heading for table in tables}) == len(tables)
    for table in tables:
        assert len({facets[run_id] for run_id in ids(table)}) == 1
        for one in table.cells.itertuples():
            assert {sparsity[run_id] for run_id in one.run_ids} <= {one.sparsity}
    kept = {run_id for table in tables for run_id in ids(table)}
    left_out = {run_id for table in tables for run_id in table.repeats}
    assert kept | left_out == set(facets)
    distinct = {(run.forget, str(run.original), run.seeds) for run in runs}
    assert len(kept) == len(distinct)


def test_other_oracles_are_another_group() -> None:
    clean = make_run("clean", "retrain", settings={"mask_from": "retain"}, sparse=True)
    usual = make_run("usual", "retrain", sparse=True)
    runs = [
        clean, usual, make_run("a", sparse=True, oracle="clean"),
        make_run("b", sparse=True, oracle="usual"),
    ]  # fmt: skip
    tables = tabulate(runs)
    assert sorted(map(sorted, map(ids, tables))) == [["a", "clean"], ["b", "usual"]]
    assert sum("mask of its own" in table.heading for table in tables) == 1


def test_one_request_that_means_other_samples_of_the_same_split_is_two_groups() -> None:
    runs = [make_run("a"), make_run("b", tags={"mu.forget": "elsewhere"})]
    tables = tabulate(runs)
    assert sorted(map(sorted, map(ids, tables))) == [["a"], ["b"]]
    assert all("forget set" in table.heading for table in tables)


def test_pruners_at_one_sparsity_are_blocks_that_say_so() -> None:
    runs = [
        make_run("a", sparse=True),
        make_run("b", sparse=True, original={"prune_pruner": "synflow"}),
        make_run("c"),
        make_run("d", original={"prune_pruner": "synflow"}),  # dense: nothing was pruned
    ]
    labels = list(only(runs).originals.index)
    assert labels == ["dense", "95 % sparse, omp", "95 % sparse, synflow"]


def test_rows_say_in_what_settings_differ() -> None:
    runs = [
        make_run("a", settings={"lr": "0.1", "epochs": "2"}),
        make_run("b", settings={"lr": "0.10", "epochs": "2"}, seed=1),
        make_run("c", settings={"lr": "0.01", "epochs": "2"}),
        make_run("d", "ga", settings={"lr": "none"}),
        make_run("e", "ga", seed=1),
    ]
    table = only(runs)
    assert list(table.rows) == ["ft (lr=0.01)", "ft (lr=0.1)", "ga"]
    assert cell(table, "ft (lr=0.1)", "UA").runs == 2


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("0.10", 0.1, True), ("True", True, True), ("0.1", "0.2", False), ("ft", "ft", True),
        ("1234567890123456", "1234567890123457", False), ("nan", "nan", True),
        ("12e4567890123456", "13e4567890123456", False),
    ],
)  # fmt: skip
def test_spellings_of_a_setting(one: Any, other: Any, same: bool) -> None:
    assert (canonical(one) == canonical(other)) == same


def test_of_repetitions_the_newest_counts() -> None:
    runs = [
        make_run("old", started=1, metrics={"UA": 10.0}),
        make_run("new", started=2, metrics={"UA": 20.0}),
    ]
    table = only(runs)
    assert cell(table, "ft", "UA").mean == 20.0
    assert any("run old" in note and "repetitions" in note for note in cautions(table))


def test_of_repeated_oracles_the_one_that_judges_counts() -> None:
    runs = [
        make_run("judge", "retrain", started=1, metrics={"UA": 98.0}),
        make_run("later", "retrain", started=2, metrics={"UA": 97.0}),
        make_run("a", oracle="judge"),
    ]
    assert cell(only(runs), "retrain", "UA").mean == 98.0


# --- oracles ------------------------------------------------------------------------------


def test_without_an_oracle_the_gap_is_empty_and_the_note_says_how_to_get_one() -> None:
    table = only([make_run("alone")])
    assert "gap" in table.metrics
    assert not has(table, "ft", "gap")
    (note,) = [note for note in cautions(table) if "no oracle" in note]
    assert "method=retrain -P prune_run_id=o00False -P forget=class:0" in note


def test_a_run_that_points_to_none_finds_the_oracle_of_its_original() -> None:
    runs = [
        make_run("theirs", "retrain", training=1),
        make_run("mine", "retrain", metrics={"UA": 100.0}),
        make_run("clean", "retrain", settings={"mask_from": "retain"}, started=9),
        make_run("a", metrics={"UA": 90.0}),
    ]
    tables = tabulate(runs)
    (table,) = [one for one in tables if "mine" in ids(one)]
    assert cell(table, "ft", "gap").mean == 2.5
    assert cell(table, "ft", "UA").distance == 10.0


def test_of_several_oracles_the_newest_is_found() -> None:
    runs = [
        make_run("new", "retrain", started=2, seed=1, metrics={"UA": 94.0}),
        make_run("old", "retrain", started=1, metrics={"UA": 98.0}),
        make_run("a"),
    ]
    for order in (runs, runs[::-1]):
        assert cell(only(order), "ft", "UA").distance == 4.0


def with_mask(run: RunRecord, mask: str) -> RunRecord:
    """The run, of an original with another mask."""
    return replace(run, known={**run.known, "original_mask": mask})


def test_another_mask_is_another_original() -> None:
    oracle = make_run("mine", "retrain")
    table = only([with_mask(oracle, "another"), make_run("a")])
    assert not has(table, "ft", "gap")


@pytest.mark.parametrize("where", [{"split": 1}, {"training": 1}])
def test_an_oracle_of_another_split_or_original_says_nothing(where: dict[str, int]) -> None:
    logged = {"gap": 1.0, "gap_UA": 1.0, "gap_lo": 0.5, "gap_hi": 1.5}
    runs = [
        make_run("wrong", "retrain", **where), make_run("a", oracle="wrong", metrics=logged),
    ]  # fmt: skip
    # A list of samples that both splits have.
    runs = [replace(r, tags={**r.tags, "mu.forget": "list"}) for r in runs]
    runs = [with_mask(one, "of both") for one in runs]
    table = only(runs)
    assert not has(table, "ft", "gap")
    assert math.isnan(cell(table, "ft", "UA").distance)
    assert any("another original, split or forget set" in note for note in cautions(table))
    # Together with its oracle: the gap is taken anew, and the interval was of the other one.
    judge = make_run("right", "retrain", metrics={"UA": 98.0}, tags={"mu.forget": "list"})
    right = with_mask(judge, "of both")
    gap = cell(only([*runs, right]), "ft", "gap")
    assert gap.mean == 2.0
    assert math.isnan(gap.low)
    assert math.isnan(gap.high)


def test_of_a_deleted_oracle_what_was_logged_counts() -> None:
    table = only([make_run("a", oracle="gone", metrics={"gap": 3.0, "gap_UA": 4.0})])
    assert (cell(table, "ft", "gap").mean, cell(table, "ft", "UA").distance) == (3.0, 4.0)
    assert math.isnan(cell(table, "ft", "RA").distance)
    assert any("cannot be read any more" in note for note in cautions(table))


def test_an_oracle_that_was_compared_with_another_has_no_distance_here() -> None:
    logged = {"gap": 1.0, "gap_UA": 1.0}
    runs = [make_run("o", "retrain", oracle="p", metrics=logged), make_run("a", oracle="o")]
    table = only(runs)
    assert math.isnan(cell(table, "retrain", "UA").distance)
    assert not has(table, "retrain", "gap")


def test_how_far_oracles_are_apart() -> None:
    runs = [
        make_run("one", "retrain", seed=0, metrics={"UA": 100.0}),
        make_run("two", "retrain", seed=1, metrics={"UA": 96.0}),
        make_run("far", "retrain", training=1, metrics={"UA": 0.0}),
        make_run("sparse", "retrain", sparse=True),
    ]
    dense, sparse = only(runs).originals["floor"]
    assert dense == 1.0
    assert math.isnan(sparse)


def test_numbers_of_originals_are_means_over_originals_and_none_counts_twice() -> None:
    runs = [
        make_run("a", training=0, metrics={"UA_before": 0.0}),
        make_run("b", training=1, metrics={"UA_before": 4.0}),
        make_run("c", "ga", training=1, metrics={"UA_before": 4.0}),
    ]
    assert list(only(runs).originals["UA"]) == [2.0]


def test_an_original_under_a_given_mask_is_not_dense_whatever_its_rate() -> None:
    assert block_key(make_run("a")) == DENSE
    assert block_key(make_run("b", original={"given mask": True})) != DENSE


# --- the best -----------------------------------------------------------------------------


def bests(table: Table, metric: str) -> set[str]:
    cells = table.cells
    return set(cells["row"][cells["best"] & (cells["metric"] == metric)])


def against(values: dict[str, dict[str, float]]) -> Table:
    oracle = make_run("o", "retrain", metrics={"UA": 95.0, "RTE": 9.0, "ASR": 0.0})
    runs = [make_run(n, n, oracle="o", metrics=values[n]) for n in values]
    return only([oracle, *runs])


def test_the_best_is_the_nearest_the_lowest_or_the_highest() -> None:
    table = against(
        {
            "ft": {"UA": 100.0, "RTE": 3.0, "ASR": 50.0, "gap": 2.0},
            "ga": {"UA": 92.0, "RTE": 1.0, "ASR": 60.0, "gap": 4.0},
        }
    )
    assert bests(table, "UA") == {"ga"}  # 3 points below beats 5 above
    assert bests(table, "RTE") == {"ga"}
    assert bests(table, "ASR") == {"ft"}
    assert bests(table, "gap") == {"ft"}
    values = {"ft": {"robust_acc": 50.0}, "ga": {"robust_acc": 60.0}}
    runs = [make_run(n, n, metrics=values[n]) for n in values]
    assert bests(only(runs, ["robust_acc"]), "robust_acc") == {"ga"}


def test_what_looks_the_same_is_equally_good() -> None:
    table = against({"ft": {"RTE": 1.001}, "ga": {"RTE": 1.004}, "iu": {"RTE": 1.02}})
    assert bests(table, "RTE") == {"ft", "ga"}
    table = against({"ft": {"UA": 94.001}, "ga": {"UA": 95.996}, "iu": {"UA": 93.9}})
    assert bests(table, "UA") == {"ft", "ga"}


def test_what_is_missing_or_no_number_is_never_best() -> None:
    table = against(
        {"ft": {"RTE": float("nan")}, "ga": {"RTE": 5.0}, "iu": {"RTE": 6.0}, "ff": {"gap": 1.0}}
    )
    assert bests(table, "RTE") == {"ff"}  # of make_run: 2 s
    assert bests(table, "gap") == set()  # nobody to be better than
    assert bests(against({"ft": {"RTE": 1.0}}), "RTE") == set()


def test_without_an_oracle_nothing_is_nearest() -> None:
    table = only([make_run("a", "ft"), make_run("b", "ga", metrics={"RTE": 1.0})])
    assert bests(table, "UA") == set()
    assert bests(table, "RTE") == {"ga"}


# --- cautions -----------------------------------------------------------------------------

STUDY = a_study()
STALE = {"gap": 1.0, "gap_UA": 1.0}
CAUTIONS: dict[str, tuple[list[RunRecord], str]] = {
    "_no_oracle": (
        [make_run("a", forget="some list")],
        "no oracle, so no gap: run a; make one and compare again: mlflow run . -e unlearn -P "
        "method=retrain -P prune_run_id=o00False -P forget=indices:FILE",
    ),
    "_deleted_oracle": ([make_run("a", oracle="gone", metrics=STALE)], "cannot be read any more"),
    "_wrong_oracle": (
        [make_run("o", "retrain", training=1), make_run("a", oracle="o", metrics=STALE)],
        "another original, split or forget set, so what was logged of it is left out: run a",
    ),
    "_oracles_apart": (
        [make_run("o", "retrain"), make_run("p", "retrain", seed=1, metrics={"UA": 98.0}),
         make_run("a", oracle="o", metrics={"gap": 1.0}),
         make_run("b", "ga", oracle="o", metrics={"gap": 2.9}),
         make_run("c", "ff", oracle="o", metrics={"gap": 3.1})],
        "further apart than these methods: ft and ga on dense originals (2.00 points)",
    ),
    "_several_oracles": (
        [make_run("o", "retrain"), make_run("p", "retrain", seed=1),
         make_run("a", oracle="o"), make_run("b", "ga", oracle="p")],
        "different oracles",
    ),
    "_one_seed": ([make_run("a"), make_run("b", "ga")], "one seed only"),
    "_shared_seed": ([make_run("a"), make_run("b", seed=1)], "share the training seed 0"),
    "_other_seeds": ([*STUDY, make_run("c", "ga")], "over different seeds"),
    "_not_finite": (
        [*STUDY[1:], make_run("retrain-d0", "retrain", metrics={"RTE": math.inf})],
        "NaN or infinite are left out of the means: run retrain-d0",
    ),
    "_repeated": (
        [*STUDY, replace(STUDY[-1], run_id="old", started=STUDY[-1].started - timedelta(1))],
        "same seeds: run old;",
    ),
    "_several_commits": (
        [*STUDY[1:], replace(STUDY[0], tags={**STUDY[0].tags, "mu.commit": "x"})],
        "different commits",
    ),
    "_uncommitted": (
        [*STUDY[1:], replace(STUDY[0], tags={**STUDY[0].tags, "mu.dirty": "true"})],
        "in no commit",
    ),
}  # fmt: skip


@cache
def study() -> Table:
    return only(STUDY)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_each_caution_where_it_applies_and_nowhere_else(
    rule: Callable[[Table], str | None],
) -> None:
    runs, words = CAUTIONS[rule.__name__]
    table = only(runs)
    assert words in str(rule(table))
    assert words in " ".join(cautions(table))
    assert rule(study()) is None


def test_a_seed_that_all_runs_share_is_named() -> None:
    notes = cautions(only([make_run("a", training=1), make_run("b")]))
    assert any("share the unlearning seed 0" in note for note in notes)


def test_a_long_list_of_runs_is_cut() -> None:
    (note,) = [one for one in cautions(only([make_run(f"r{n}", seed=n) for n in range(5)]))
               if "no oracle" in one]  # fmt: skip
    assert "run r0, run r1, run r2 and 2 more;" in note


def test_each_original_counts_once_and_the_spread_is_over_originals() -> None:
    """Three runs of one original and one of another: their means are what is averaged."""
    gaps = {(0, 0): 1.0, (0, 1): 2.0, (0, 2): 3.0, (1, 0): 8.0}
    runs = [
        make_run(f"{training}{seed}", training=training, seed=seed, metrics={"UA": value})
        for (training, seed), value in gaps.items()
    ]
    found = cell(only(runs), "ft", "UA")
    assert (found.originals, found.runs) == (2, 4)
    assert found.mean == pytest.approx((2.0 + 8.0) / 2)
    assert found.sd == pytest.approx(statistics.stdev([2.0, 8.0]))
    assert found.within == pytest.approx(1.0)  # of 1, 2 and 3
    (low, high) = stats.t.interval(0.95, 1, 5.0, found.sd / math.sqrt(2))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    alone = cell(only(runs[:3]), "ft", "UA")
    assert (alone.originals, alone.sd) == (1, pytest.approx(1.0))


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ([{"lr": "0.1"}, {"preset": "paper", "lr": "1"}], ["ft", "ft (preset=paper)"]),
        # One preset twice, with another rate: both have to be named.
        (
            [{"preset": "paper", "lr": "1"}, {"preset": "paper", "lr": "2"}],
            ["ft (lr=1)", "ft (lr=2)"],
        ),
        ([{"lr": "0.1"}], ["ft"]),
    ],
)
def test_a_preset_stands_for_what_it_sets(
    settings: list[dict[str, str]], labels: list[str]
) -> None:
    assert tell_apart(["ft"] * len(settings), settings) == labels
