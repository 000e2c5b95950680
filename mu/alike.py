"""Which runs may be put together: those that differ in nothing but their seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mu.errors import UserError
from mu.run_record import RunRecord, Seeds

SHOWN = 4  # of the settings in which runs differ
NOT_SET = "not set"
LONGEST_NUMBER = 12  # letters; longer texts are words, such as fingerprints of digits alone
_ABSENT = ("none", "None", None)


def canonical(value: Any) -> str:
    """The same text for values that mean the same; MLflow's launcher logs 0.10 as it was typed."""
    text = str(value)
    if text.lower() in ("true", "false"):
        return text.lower()
    if len(text) > LONGEST_NUMBER and isinstance(value, str):
        return text
    try:
        number = float(value)
    except (TypeError, ValueError):
        return text
    return f"{number:.12g}" if math.isfinite(number) else text


def canonical_items(settings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Settings as a key: in one order and one spelling, without those that are not set."""
    return tuple(sorted((n, canonical(v)) for n, v in settings.items() if v not in _ABSENT))


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings that do not mean the same, with both values, in the order of ``one``."""
    mine, yours = (
        {name: value for name, value in given.items() if value not in _ABSENT}
        for given in (one, other)
    )
    pairs = {
        name: (mine.get(name, NOT_SET), yours.get(name, NOT_SET)) for name in {**mine, **yours}
    }
    return {name: pair for name, pair in pairs.items() if len(set(map(canonical, pair))) > 1}


def check_ids(run_ids: Sequence[str]) -> None:
    """Refuse a run that is named twice."""
    for run_id in run_ids:
        if run_ids.count(run_id) > 1:
            raise UserError(f"run {run_id} is given twice; give each run once")


def check_alike(runs: Sequence[RunRecord]) -> None:
    """Refuse runs of one group that differ in anything but seeds, or not even in those.

    UserError if they do; the line names the first two, and in what.
    """
    first = runs[0]
    for run in runs[1:]:
        mine, yours = (
            {"method": one.method, **_fixed(one), **one.settings} for one in (first, run)
        )
        if different := _in_words(mine, yours):
            raise UserError(
                f"runs {first.run_id} and {run.run_id} differ in {different}; give runs that "
                "differ in their seeds alone"
            )
    seen: dict[Seeds, str] = {}
    for run in runs:
        if run.seeds in seen:
            raise UserError(
                f"runs {seen[run.seeds]} and {run.run_id} have the same seeds ({run.seeds}), so "
                "one says nothing that the other does not; leave one out"
            )
        seen[run.seeds] = run.run_id
    _check_forget_sets(runs)


def matched(ours: Sequence[RunRecord], theirs: Sequence[RunRecord]) -> list[RunRecord]:
    """The other group in the order of ours, by their seeds.

    UserError if data, original or forget set differ between the groups, or seeds have no match.
    """
    if different := _in_words(_fixed(ours[0]), _fixed(theirs[0])):
        raise UserError(
            f"runs {ours[0].run_id} and {theirs[0].run_id} differ in {different}; methods that are "
            "compared must forget the same of the same kind of original"
        )
    here, there = ({run.seeds: run for run in group} for group in (ours, theirs))
    for runs, others, where in (
        (here, there, "among the runs of --against"),
        (there, here, "among the first runs"),
    ):
        for seeds, run in runs.items():
            if seeds not in others:
                raise UserError(
                    f"run {run.run_id} (seeds: {seeds}) has no match {where}; give both methods' "
                    "runs over the same seeds"
                )
    _check_forget_sets([*ours, *theirs])
    return [there[run.seeds] for run in ours]


def _fixed(run: RunRecord) -> dict[str, Any]:
    return {"forget": run.forget, **run.original}


def _check_forget_sets(runs: Sequence[RunRecord]) -> None:
    """Of one split, the same request must have meant the same samples."""
    sets: dict[int, RunRecord] = {}
    for run in runs:
        first = sets.setdefault(run.seeds.split, run)
        if first.forget_fingerprint != run.forget_fingerprint:
            raise UserError(
                f"runs {first.run_id} and {run.run_id} forget other samples, though of the same "
                f"split and both by forget={run.forget}; give runs of the same forget set"
            )


def _in_words(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Settings that are not the same, with both values; empty if there are none."""
    found = list(differing(one, other).items())
    if found and found[0][0] == "method":
        found = found[:1]  # other methods have other settings
    words = [f"{name} ({mine} and {yours})" for name, (mine, yours) in found[:SHOWN]]
    more = len(found) - SHOWN
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")
