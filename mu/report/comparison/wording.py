"""How a number of a table is written, whatever the format."""

from __future__ import annotations

from dataclasses import dataclass

from mu.report.comparison.cells import Cell, digits_of

ABSENT = "-"
LEGEND = (
    "Mean ± sample standard deviation over seeds; in brackets the mean distance to the oracle "
    "(Retrain); bold: no method is better in these columns."
)


@dataclass(frozen=True)
class Written:
    """The parts of a number: ``98.50``, ``0.30``, ``1.20``; empty where there is none."""

    mean: str
    sd: str = ""
    distance: str = ""

    def plain(self, plus_minus: str = " ± ") -> str:
        """In one line, without brackets: ``98.50 ± 0.30``."""
        return self.mean + (f"{plus_minus}{self.sd}" if self.sd else "")


def write(cell: Cell | None) -> Written:
    """The parts of a cell as text, each with the digits that its metric has."""
    if cell is None:
        return Written(ABSENT)
    return Written(
        number(cell.metric, cell.mean), number(cell.metric, cell.sd),
        number(cell.metric, cell.distance),
    )  # fmt: skip


def number(metric: str, value: float | None) -> str:
    """A value with the digits of its metric; zero never has a sign."""
    if value is None:
        return ""
    text = f"{value:.{digits_of(metric)}f}"
    return text.removeprefix("-") if float(text) == 0 else text
