"""The page of one unlearning: an HTML file that needs nothing else, neither network nor fonts.

Tables and records can be read without scripts; charts need them.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jinja2 import Template
from markupsafe import Markup

from mu.evaluation.catalogue import metric
from mu.report.charts import scripts
from mu.report.console import numbers, result_columns
from mu.report.pages import COMMON, environment, joined
from mu.report.run_page.charts import chart_data
from mu.report.run_page.classes import class_rows, matrices, short, shown_classes
from mu.report.run_page.facts import Points, RunFacts
from mu.report.run_page.pictures import data_uri

FOLDER = Path(__file__).parent


class Rates(NamedTuple):
    """What an attack with one threshold says of one model, in percent; from which edge on."""

    role: str
    place: int
    confidence: float  # at the threshold, 0-1
    called: Mapping[str, float]  # members by part


def save_page(path: Path, collect: Callable[[], RunFacts]) -> None:
    """Write the page of a run, and the folder it lies in; ``collect`` gives what it shows."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(make_page(collect()), encoding="utf-8")


def make_page(facts: RunFacts) -> str:
    """The page of a run; everything that comes from data or runs is escaped."""
    shown = shown_classes(facts)
    rows = class_rows(facts, shown)
    rates = _rates(facts)
    columns, texts, _ = numbers(result_columns(facts.rows), facts.rows)
    more = [name for name in ("cka_original", "cka_oracle") if name in facts.metrics]
    return _template().render(
        facts=facts,
        classes=rows,
        all_classes=len(facts.classes),
        matrices=matrices(facts, shown),
        columns=columns[1:],
        texts=texts,
        rates=rates,
        shifts=_shifts(facts.points),
        definitions=[metric(name) for name in (*columns[1:], *more)],
        data=chart_data(facts, rows, {one.role: one.place for one in rates}),
    )


@cache
def _template() -> Template:
    made = environment(FOLDER)
    libraries = scripts().removeprefix("<script>").removesuffix("</script>")
    own = joined(COMMON / "page.js", FOLDER / "page.js")
    made.globals |= {
        "css": joined(COMMON / "page.css", FOLDER / "page.css"),
        "scripts": [Markup(libraries), own],
        "policy": [_digest(libraries), _digest(own)],
        "data_uri": data_uri,
        "percent": percent,
        "short": short,
        "isnan": math.isnan,
        "zip": zip,
    }
    return made.get_template("page.html")


def _digest(script: str) -> str:
    """What the page's policy allows a script by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def percent(share: float) -> str:
    """A probability (0-1) in percent; that it is not quite 0 or 1 is said."""
    if 0 < share < 0.00005:
        return "<0.01 %"
    if 0.99995 < share < 1:
        return ">99.99 %"
    return f"{100 * share:.4g} %"


def _rates(facts: RunFacts) -> list[Rates]:
    """Of each model at the threshold of its own attack, or where members are told best."""
    found = []
    for role, parts in facts.scores.counts.items():
        threshold = facts.thresholds[role]
        place = facts.scores.best(role) if threshold is None else facts.scores.place(threshold)
        called = {part: 100 * facts.scores.called(role, part, place) for part in parts}
        confidence = 1 / (1 + math.exp(-facts.scores.edges[place]))
        found.append(Rates(role, place, confidence, called))
    return found


def _shifts(points: Points | None) -> list[tuple[str, int, int, float]]:
    """By part: samples shown, of how many, and how far their median moved.

    In units of the spread of the original's places.
    """
    if points is None:
        return []
    before, after = points.embedding.before, points.embedding.after
    spread = max(float(np.sqrt(before.var(0).sum())), 1e-12)
    moved = np.linalg.norm(after - before, axis=1) / spread
    parts = np.array(points.parts)
    return [
        (part, int((parts == part).sum()), total, float(np.median(moved[parts == part])))
        for part, total in points.totals.items()
    ]
