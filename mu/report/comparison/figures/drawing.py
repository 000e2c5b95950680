"""A figure with its words and its data, drawn for a file or for a page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from mu.report.comparison.table import Table
from mu.report.palette import Style, style_of
from mu.report.plots import save

# Drawn with these two colours; a page puts its own in their place, which follow light and dark.
INK, LINES = "#1f2430", "#c9ced6"
_VARIABLES = {INK: "var(--ink)", LINES: "var(--lines)"}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "mu", "font.family": "sans-serif", "font.size": 9,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": LINES, "axes.titlesize": 9.5,
    "xtick.color": INK, "ytick.color": INK, "grid.color": LINES, "grid.linewidth": 0.6,
    "axes.grid": True, "axes.axisbelow": True, "axes.spines.top": False, "hatch.color": INK,
    "axes.spines.right": False, "legend.frameon": False, "legend.fontsize": 8.5,
    "hatch.linewidth": 0.5, "text.parse_math": False,
}  # fmt: skip
LONGEST_LABEL = 26  # letters in a figure
WIDTH = 5.4  # inches; a page on a phone shows it at about its own size


@dataclass(frozen=True)
class Drawing:
    """A figure; title and caption are plain text."""

    name: str  # of its file, without ending
    title: str
    caption: str
    kind: str  # what sort of figure it is, in words, for who does not see it
    header: Sequence[str]  # of its data as a table
    rows: Sequence[Sequence[str]]
    size: tuple[float, float]  # inches
    draw: Callable[[Figure], None]  # on an empty figure of that size

    @property
    def alt(self) -> str:
        """What it shows, in words."""
        pairs = [zip(self.header, row, strict=True) for row in self.rows]
        lines = [", ".join(f"{name} {text}" for name, text in pair) for pair in pairs]
        return "; ".join([self.kind, *lines]) + "."

    def _figure(self) -> Figure:
        figure = Figure(figsize=self.size, layout="constrained")
        self.draw(figure)
        return figure

    def save(self, folder: Path) -> None:
        """Write it as png."""
        with mpl.rc_context(_STYLE):
            figure = self._figure()
            figure.suptitle(self.title)
            save(figure, folder / f"{self.name}.png")

    def svg(self, prefix: str) -> str:
        """It as an SVG element in the page's colours; the prefix sets its IDs apart from others."""
        text = io.StringIO()
        with mpl.rc_context(_STYLE):
            figure = self._figure()
            figure.patch.set_alpha(0)
            for axes in figure.axes:
                axes.patch.set_alpha(0)
            figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        return _inline(text.getvalue(), prefix)


def _inline(document: str, prefix: str) -> str:
    """The SVG element of a document, without what belongs to a file of its own."""
    found = document[document.index("<svg") :]
    found = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", found, flags=re.DOTALL)
    found = re.sub(r'(\bid=")', rf"\1{prefix}", found)
    found = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\1{prefix}", found)
    found = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">',
                   found, count=1)  # fmt: skip
    found = re.sub(r"'DejaVu Sans'[^;\"]*|sans-serif", "inherit", found)
    found = found.replace("xlink:href", "href")
    for colour, variable in _VARIABLES.items():
        found = found.replace(colour, variable)
    return found


# --- how rows and blocks look -------------------------------------------------------------

Fill = Literal["full", "none", "left", "right", "top", "bottom"]
_FILLS: Final[tuple[Fill, ...]] = ("full", "none", "left", "right", "top", "bottom")
_VARIANTS = ("-", ":", "--", "-.")


def row_styles(table: Table) -> dict[str, Style]:
    """The style of each row, by its label: its method's colour, other settings in other lines."""
    others = tuple(sorted(set(table.rows.values())))
    methods = list(table.rows.values())
    found: dict[str, Style] = {}
    for place, (label, method) in enumerate(table.rows.items()):
        style, variant = style_of(method, others), methods[:place].count(method)
        line = _VARIANTS[variant % len(_VARIANTS)] if variant else style.line
        found[label] = replace(style, line=line, variant=variant)
    return found


def short_labels(labels: Sequence[str]) -> dict[str, str]:
    """Labels that leave room for the figure, no two of them the same; foreign ones may be long."""
    found: dict[str, str] = {}
    for place, label in enumerate(labels, 1):
        short = label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"
        taken = short in found.values()
        found[label] = f"{label[: LONGEST_LABEL - 5]}… {place}" if taken else short
    return found


def fill_of(block: int) -> Fill:
    """How a marker is filled, to tell blocks apart where colours tell methods."""
    return _FILLS[block % len(_FILLS)]


def legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """A legend of what has these handles, under the figure."""
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(3, len(handles)))
