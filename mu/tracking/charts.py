"""Charts of a saved view, as MLflow's page keeps them; undocumented, see :mod:`mu.tracking.view`.

Read from the page's sources: a chart is a card with an identity of its own, in a section. The last
two sections of a page are those of metrics; the charts that it makes of every metric go there.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

MODE: Final = "compareRunsMode=CHART"  # in an address: charts instead of the table
SECTIONS: Final = ("mu", "Model metrics", "System metrics")
MOST_RUNS: Final = 100  # in a chart


def _identity(*words: str) -> str:
    """The same for the same words, so that a view written again is the same view."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(("mu", *words))))


@dataclass(frozen=True)
class Bars:
    """A metric of each run, or of each group of runs."""

    metric: str
    title: str

    def card(self) -> dict[str, Any]:
        """What the page keeps of it."""
        return {"type": "BAR", "metricKey": self.metric}


@dataclass(frozen=True)
class Scatter:
    """Two metrics against each other."""

    x: str
    y: str
    title: str

    def card(self) -> dict[str, Any]:
        """What the page keeps of it."""
        axes = {"xaxis": self.x, "yaxis": self.y}
        return {"type": "SCATTER"} | {n: {"key": k, "type": "METRIC"} for n, k in axes.items()}


@dataclass(frozen=True)
class Parallel:
    """A line for each run over parameters and metrics."""

    params: tuple[str, ...]
    metrics: tuple[str, ...]
    title: str

    def card(self) -> dict[str, Any]:
        """What the page keeps of it."""
        chosen = {"selectedParams": [*self.params], "selectedMetrics": [*self.metrics]}
        return {"type": "PARALLEL", "showAllRuns": True} | chosen


Chart = Bars | Scatter | Parallel


def charts_state(view: str, charts: tuple[Chart, ...]) -> dict[str, Any]:
    """The fields of a view's state that give it charts; ``view`` is its key."""
    ids = {name: _identity(view, name) for name in SECTIONS}
    cards = [
        {
            **chart.card(),
            "uuid": _identity(view, chart.title),
            "displayName": chart.title,
            "metricSectionId": ids[SECTIONS[0]],
            "runsCountToCompare": MOST_RUNS,
            "deleted": False,
            "isGenerated": False,
        }
        for chart in charts
    ]
    sections = [
        {"uuid": ids[name], "name": name, "display": name == SECTIONS[0], "isReordered": False,
         "deleted": False, "isGenerated": name != SECTIONS[0]}
        for name in SECTIONS
    ]  # fmt: skip
    return {"compareRunCharts": cards, "compareRunSections": sections}


def averaged(*params: str) -> dict[str, Any]:
    """The field of a view's state that averages runs with the same values of parameters."""
    keys = [{"mode": "param", "groupByData": name} for name in params]
    return {"groupBy": {"aggregateFunction": "average", "groupByKeys": keys}}
