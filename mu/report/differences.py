"""What two runs have in common, and in what they differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from mu import tags
from mu.alike import NOT_SET, differing
from mu.errors import UserError
from mu.report.metrics import digits_of
from mu.run_record import RunRecord

# Where a setting or a tag stands; a setting that is in none of them is a setting of the run.
DATA = ("dataset", "data_dir", "image_size", "train_size", "val_share", "split_seed", "forget")
PLACE = ("device", "devices", "threads", "workers", "precision", "stream", "sync_bn", "compile")
LINKS = ("prune_run_id", "oracle_run_id", "resume_run_id", "unlearn_run_id", "run_id")
DATA_TAGS = {"fingerprint": tags.DATA, "forget set": tags.FORGET, "poison": tags.POISON}
PLACE_TAGS = {"commit": tags.COMMIT, "changes": tags.DIRTY, "processor": tags.PROCESSOR,
              "host": tags.HOST}  # fmt: skip
MAIN = (
    *("UA", "RA", "TA", "MIA", "MIA_auc", "ASR", "gap", "gain", "depth", "RTE", "sparsity"),
    *("train_acc", "train_s", "target_acc", "target_gain"),
)
INSIDE, BEYOND, UNKNOWN = "inside", "beyond", ""
LEGEND = (
    "inside: no more than both 95 % intervals allow (chance of samples, not of seeds: mu seeds); "
    "beyond: more; blank: a number has no interval"
)
LETTERS = 12  # of an ID, a fingerprint or a commit
Pairs = Mapping[str, tuple[Any, Any]]


class Change(NamedTuple):
    """A number of two runs."""

    values: tuple[float, float]
    intervals: tuple[tuple[float, float] | None, tuple[float, float] | None]
    verdict: str  # whether the difference is inside the intervals

    @property
    def difference(self) -> float:
        """How much more the second run has."""
        return self.values[1] - self.values[0]


def sections(one: RunRecord) -> dict[str, dict[str, Any]]:
    """All that a run is made of, by kind and name."""
    known = {**one.params, **_values(one)}
    plain = {name: name.removeprefix("prune_") for name in known}
    place = {name: value for name, value in known.items() if name in PLACE}
    data = {name: value for name, value in known.items() if plain[name] in DATA}
    left = {name: value for name, value in known.items()
            if name not in (*place, *data, *LINKS) and not isinstance(value, dict)}  # fmt: skip
    up, oracle = one.upstream_run_id, one.oracle_run_id
    return {
        "settings": {"entry": one.entry, **left},
        "data": data | _tagged(one, DATA_TAGS),
        "lineage": {"original": up, "mask": one.tags.get(tags.MASK), "oracle": oracle},
        "environment": place | _tagged(one, PLACE_TAGS),
    }


def _values(one: RunRecord) -> Mapping[str, Any]:
    try:
        return one.config
    except UserError:  # a run of an entry without one, or that failed before
        return {}


def _tagged(one: RunRecord, names: Mapping[str, str]) -> dict[str, str]:
    return {name: one.tags[tag] for name, tag in names.items() if tag in one.tags}


def differences(one: RunRecord, other: RunRecord) -> tuple[dict[str, Pairs], dict[str, int]]:
    """By kind what differs, with both values, and how many that are set in a run do not.

    Runs of two entries have many settings that the other has not: these are left out.
    """
    apart: dict[str, Pairs] = {}
    same: dict[str, int] = {}
    theirs = sections(other)
    for kind, mine in sections(one).items():
        if one.entry != other.entry and kind != "lineage":
            both = mine.keys() & theirs[kind].keys()
            mine, theirs[kind] = (
                {n: v for n, v in own.items() if n in both} for own in (mine, theirs[kind])
            )
        apart[kind] = differing(mine, theirs[kind])
        names = {n for n, v in {**theirs[kind], **mine}.items() if v not in (None, "none")}
        same[kind] = len(names - apart[kind].keys())
    return apart, same


def text_of(value: Any) -> str:
    """A value as the terminal shows it: of IDs and the like the beginning."""
    text = NOT_SET if value is None else str(value)
    hexadecimal = len(text) > LETTERS and set(text) <= set("0123456789abcdef")
    return text[:LETTERS] if hexadecimal else text


def changes(one: RunRecord, other: RunRecord) -> tuple[dict[str, Change], list[str]]:
    """Numbers that differ, the main ones first, and names of those that do not."""
    names = [name for name in one.metrics if name in other.metrics and _is_number(name)]
    ordered = [*(name for name in MAIN if name in names), *sorted({*names} - {*MAIN})]
    found = {name: change(name, one.metrics, other.metrics) for name in ordered}
    same = [name for name, its in found.items() if its.difference == 0]
    return {name: its for name, its in found.items() if name not in same}, same


def _is_number(name: str) -> bool:
    """Whether a metric is neither an interval's end nor the number of another model."""
    return not {*name.split("_")} & {"lo", "hi", "before", "oracle"}


def change(name: str, mine: Mapping[str, float], yours: Mapping[str, float]) -> Change:
    """How a number differs, and whether the intervals of both allow it.

    The interval of a difference of independent estimates is as wide as the halves of both that
    face each other, added as squares (Newcombe 1998).
    """
    values = mine[name], yours[name]
    first, second = _interval(name, mine), _interval(name, yours)
    verdict = UNKNOWN
    if first and second:
        rises = values[1] >= values[0]
        halves = [abs(first[rises] - values[0]), abs(second[not rises] - values[1])]
        inside = abs(values[1] - values[0]) <= math.hypot(*halves)
        verdict = INSIDE if inside else BEYOND
    return Change(values, (first, second), verdict)


def _interval(name: str, metrics: Mapping[str, float]) -> tuple[float, float] | None:
    low, high = metrics.get(f"{name}_lo"), metrics.get(f"{name}_hi")
    return None if low is None or high is None else (low, high)


def row(name: str, found: Change) -> list[str]:
    """A line of the table of numbers."""
    try:
        digits = digits_of(name)
    except UserError:
        digits = 2
    cells = []
    for value, ends in zip(found.values, found.intervals, strict=True):
        interval = ", ".join(f"{end:.{digits}f}" for end in ends or ())
        cells.append(f"{value:.{digits}f}" + (f" [{interval}]" if interval else ""))
    return [name, *cells, f"{found.difference:+.{digits}f}", found.verdict]
