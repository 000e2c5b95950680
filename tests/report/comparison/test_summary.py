"""What tables say in words."""

from __future__ import annotations

import pytest

from mu.report.comparison.summary import best_gap, ranked, summarise_table
from mu.report.comparison.table import Table, tabulate
from mu.run_record import RunRecord
from tests.report.comparison.made import a_study, make_run


def of(gaps: dict[str, list[tuple[float, float, float]]]) -> Table:
    """A table of methods by their gaps, with the ends of its interval, run by run."""
    runs: list[RunRecord] = [make_run("o", "retrain")]
    for method, values in gaps.items():
        for seed, (low, gap, high) in enumerate(values):
            metrics = {"gap": gap, "gap_lo": low, "gap_hi": high}
            runs.append(make_run(f"{method}{seed}", method, seed=seed, oracle="o", metrics=metrics))
    (table,) = tabulate(runs)
    return table


def test_which_method_is_nearest_and_what_sparsity_did() -> None:
    (table,) = tabulate(a_study())
    dense, sparse, change = summarise_table(table)
    assert dense.startswith(
        "On dense originals, l1_sparse is nearest to the oracle: gap 1.12 ± 0.18 points (2 runs), "
        "19.00 ahead of ft."
    )
    assert "do not overlap" in dense
    assert sparse.startswith("On 95 % sparse originals, l1_sparse")
    assert "brought ft (20.12 → 2.12) and l1_sparse (1.12 → 0.23) nearer" in change
    assert best_gap(table) == pytest.approx(0.225)
    assert list(ranked(table, "dense")["row"]) == ["l1_sparse", "ft"]


def test_sparsity_may_hurt_or_do_nothing() -> None:
    runs = a_study()
    swapped = []
    for run in runs:  # ga is worse on sparse originals, ff about the same
        if run.method != "ft":
            swapped.append(run)
            continue
        place = {"training": run.seeds.training, "seed": run.seeds.unlearning}
        sparse = run.sparsity != 0
        for method, values in (("ga", (1.0, 9.0)), ("ff", (5.4, 5.0))):
            swapped.append(
                make_run(
                    f"{method}{run.run_id}", method, sparse=sparse, oracle=run.oracle_run_id,
                    metrics={"gap": values[sparse]}, **place,
                )
            )  # fmt: skip
    (table,) = tabulate(swapped)
    change = summarise_table(table)[-1]
    assert "brought l1_sparse (1.12 → 0.23) nearer to the oracle" in change
    assert "took ga (1.00 → 9.00) further from it" in change
    assert "changed the gap of ff by no more than 0.5 points" in change


def test_intervals_of_single_runs_are_over_samples() -> None:
    apart = summarise_table(of({"ft": [(1.0, 2.0, 3.0)], "ga": [(3.5, 4.0, 5.0)]}))
    assert "over samples" in apart[0]
    assert "do not overlap" in apart[0]
    near = summarise_table(of({"ft": [(1.0, 2.0, 3.6)], "ga": [(3.5, 4.0, 5.0)]}))
    assert "overlap, so the order may be chance" in near[0]


def test_intervals_over_seeds_that_overlap_ask_for_more_seeds() -> None:
    wide = of({"ft": [(0, 1.0, 0), (0, 3.0, 0)], "ga": [(0, 2.0, 0), (0, 4.0, 0)]})
    (words,) = summarise_table(wide)
    assert "over seeds overlap" in words
    assert "more may tell" in words


def test_one_method_no_method_and_a_tie() -> None:
    (alone,) = summarise_table(of({"ft": [(1.0, 2.0, 3.0)]}))
    assert alone == (
        "ft is nearest to the oracle: gap 2.00 points (one run), and no other method has a gap."
    )
    (table,) = tabulate([make_run("a")])
    assert list(summarise_table(table)) == [
        "No run has been measured against an oracle, so nothing can be ranked."
    ]
    assert best_gap(table) is None
    tie = summarise_table(of({"ft": [(1.0, 2.0, 3.0)], "ga": [(1.0, 2.001, 3.0)]}))
    assert "level with ga" in tie[0]


def test_a_gap_below_that_of_oracles_means_nothing() -> None:
    runs = [
        make_run("o", "retrain", metrics={"UA": 100.0}),
        make_run("p", "retrain", seed=1, metrics={"UA": 96.0}),
        make_run("a", oracle="o", metrics={"gap": 0.9}),
    ]
    (words,) = summarise_table(tabulate(runs)[0])
    assert "1.00 points apart, so no gap below that means anything" in words
