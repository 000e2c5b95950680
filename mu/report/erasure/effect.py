"""The few numbers of an effect that an officer can use, each with what is good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mu.report.erasure.text import number

MOST = 5
BEFORE, AFTER, THIRD = "before", "after", "oracle"


class Measure(NamedTuple):
    """A number in words; ``places`` and ``unit`` of how it is written."""

    name: str
    words: str
    good: str
    places: int
    unit: str


class Line(NamedTuple):
    """A measure with its values: of the original, of the new model, of one that never saw."""

    measure: Measure
    cells: tuple[str, str, str]
    interval: str  # of the new model's value


# In the order of their use: the first that are known are shown.
MEASURES = (
    Measure("MIA_auc", "How surely an attack tells the records from pictures never used",
            "as the third model; 0.5 is guessing, 1 always", 2, ""),
    Measure("UA", "Wrong answers on the records", "as the third model", 1, " %"),
    Measure("depth", "Training needed to bring the records back, in % of the third model's",
            "about 100 or more", 0, " %"),
    Measure("TA", "Right answers on new pictures", "not much lower than before", 1, " %"),
    Measure("MIA_privacy_confidence", "Other records: how often an attack tells if one was used",
            "not more than before; 50 % is guessing", 1, " %"),
    Measure("gap", "Distance to a model that never saw the records, in points",
            "no more than between two such models", 2, ""),
    Measure("RA", "Right answers on the records that stay", "as the third model", 1, " %"),
)  # fmt: skip


def lines(effect: Mapping[str, Any]) -> list[Line]:
    """The measures that are known of the new model, at most :data:`MOST`."""
    found = []
    for one in MEASURES:
        values = _values(effect, one.name)
        cells = tuple(number(value, one.places, one.unit) for value in values)
        if values[1] is not None:
            found.append(Line(one, (cells[0], cells[1], cells[2]), _interval(effect, one)))
    return found[:MOST]


def _values(effect: Mapping[str, Any], name: str) -> tuple[Any, Any, Any]:
    before, after, third = (effect.get(part) or {} for part in (BEFORE, AFTER, THIRD))
    if name == "depth":
        return before.get(name), effect.get(name), 100.0 if third else None
    if name == "gap":
        return before.get(name), effect.get(name), effect.get("oracleSpread")
    return before.get(name), after.get(name), third.get(name)


def _interval(effect: Mapping[str, Any], one: Measure) -> str:
    after = effect.get(AFTER) or {}
    low, high = (after.get(f"{one.name}_{end}") for end in ("lo", "hi"))
    if low is None or high is None:
        return ""
    return f"{number(low, one.places)} to {number(high, one.places, one.unit)}"
