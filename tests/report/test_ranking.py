"""Methods by their gap on the terminal: averaged, the best marked and named, in 80 columns."""

from __future__ import annotations

import pytest

from mu.report.comparison.table import tabulate
from mu.report.ranking import LEGEND, RANKS, RESULTS, print_rankings
from tests.report.comparison.made import a_study


def printed(
    names: tuple[str, ...],
    width: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[list[str], list[str]]:
    monkeypatch.setattr("mu.report.ranking.WIDTH", width)
    best = print_rankings(tabulate(a_study()), names)
    return best, capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("names", [RANKS, RESULTS])
@pytest.mark.parametrize("width", [80, 120])
def test_rows_are_averaged_and_the_best_is_marked_and_named(
    names: tuple[str, ...],
    width: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    best, lines = printed(names, width, capsys, monkeypatch)
    assert max(map(len, lines[:-1])) <= width
    assert lines[-1] == LEGEND
    marked = [line.split()[0] for line in lines if "*" in line and line != LEGEND]
    assert marked == ["l1_sparse", "l1_sparse"]  # dense and sparse
    assert best == ["l1_sparse-d0", "l1_sparse-d1", "l1_sparse-s0", "l1_sparse-s1"]
    (rows,) = ([line.split() for line in lines if line.startswith("ft ")][:1],)
    assert any("±" in word for word in rows[0])
    assert "2" in rows[0]  # runs


def test_what_does_not_fit_is_left_out_and_the_gap_never(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = [printed(RESULTS, width, capsys, monkeypatch)[1][1].split() for width in (200, 60)]
    assert heads[0][-3:] == ["RTE", "runs", "verdict"]
    assert heads[1] == ["UA", "RA", "TA", "MIA", "gap", "runs"]
