"""The page of metrics, and the command that prints it."""

from pathlib import Path

from click.testing import CliRunner

from mu.cli.mu import mu
from mu.evaluation.catalogue import METRICS, SUFFIXES
from mu.report.metrics import catalogue_page

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(mu, ["metrics", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_page_is_what_the_command_prints():
    # If this fails: mu metrics --markdown > docs/metrics.md
    assert PAGE.read_text() == printed("--markdown")


def test_every_metric_and_ending_has_a_row():
    rows = [line for line in catalogue_page().splitlines() if line.startswith("| `")]
    assert len(rows) == len(METRICS) + len(SUFFIXES)
    assert {len(row.split(" | ")) for row in rows[: len(METRICS)]} == {5}
    assert {len(row.split(" | ")) for row in rows[len(METRICS) :]} == {2}


def test_the_terminal_shows_the_table():
    text = printed()
    assert "…_before" in text
    assert "# Metrics" not in text
