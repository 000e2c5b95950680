"""The numbers that the page's script draws, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from mu.report.run_page.classes import ClassRow, short
from mu.report.run_page.facts import Points, RunFacts

DIGITS = 4  # that a chart can show


def chart_data(facts: RunFacts, rows: Sequence[ClassRow], places: Mapping[str, int]) -> Markup:
    """JSON for a ``<script>`` element: no text in it can end that.

    ``rows``: the classes that are shown. ``places``: where thresholds begin, by role.
    """
    edges = facts.scores.edges
    data = {
        "roles": list(facts.confusions),
        "accuracy": [
            {"place": place, "name": row.name, "role": role, "value": _number(value)}
            for place, row in enumerate(rows)
            for role, value in row.accuracy.items()
            if value is not None
        ],
        "scores": {
            "low": float(edges[0]),
            "high": float(edges[-1]),
            "counts": {
                role: {part: counts.tolist() for part, counts in parts.items()}
                for role, parts in facts.scores.counts.items()
            },
            "places": dict(places),
        },
        "points": None if facts.points is None else _points(facts.points, facts.classes),
        "layers": [
            {"role": role, "name": name, "value": _number(value)}
            for role, layers in facts.layers.items()
            for name, value in layers.items()
            if np.isfinite(value)
        ],
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _points(points: Points, classes: Sequence[str]) -> dict[str, Any]:
    places = points.embedding
    used = np.unique(np.concatenate([points.labels, *points.answers.values()]))
    return {
        "before": _rounded(places.before),
        "after": _rounded(places.after),
        "parts": list(points.parts),
        "numbers": points.numbers.tolist(),
        "labels": points.labels.tolist(),
        "answers": {role: one.tolist() for role, one in points.answers.items()},
        "names": {int(label): short(classes[label]) for label in used},
    }


def _rounded(values: ArrayLike) -> list[list[float]]:
    return [[_number(one) for one in row] for row in np.asarray(values).tolist()]


def _number(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
