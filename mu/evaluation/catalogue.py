"""What every metric means, in one place: reports, pages and ``mu metrics`` read it here.

A metric is a line of ``metrics.csv``; the order there is that of pages and listings.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

from mu.errors import UserError, unknown

HIGHER, LOWER, ORACLE = "higher", "lower", "nearer to the oracle's"  # some values of ``better``


@dataclass(frozen=True)
class Metric:
    """A logged number."""

    name: str
    better: str  # which direction is
    unit: str  # % (0-100), ``points``, ``0-1``, ``s``, ...
    source: str  # where it was defined
    definition: str  # one line


with Path(__file__).with_name("metrics.csv").open(encoding="utf-8", newline="") as _file:
    METRICS = {row["name"]: Metric(**row) for row in csv.DictReader(_file)}

SUFFIXES = {
    "_lo": "lower end of the 95 % interval of: ",
    "_hi": "upper end of the 95 % interval of: ",
    "_auc": "AUC (0-1) of the score of: ",
    "_tpr_at_1": "TPR at 1 % FPR of the score of: ",
    "_tpr_at_01": "TPR at 0.1 % FPR of the score of: ",
    "_before": "of the original: ",
    "_oracle": "of the oracle: ",
    "_logit_mask": "of the original with the outputs of forgotten classes hidden: ",
    "_mean": "mean instead of a percentile: ",
}


def metric(name: str) -> Metric:
    """A metric by name, with or without a suffix such as ``_before`` or ``_lo``.

    UserError if there is none; the nearest name is given.
    """
    if name in METRICS:
        return METRICS[name]
    for suffix, words in SUFFIXES.items():
        if name.endswith(suffix) and len(name) > len(suffix):
            base = metric(name.removesuffix(suffix))
            unit = "0-1" if suffix == "_auc" else base.unit
            return replace(base, name=name, definition=f"{words}{base.definition}", unit=unit)
    raise unknown("metric", name, METRICS)


def columns(text: str | None) -> list[str] | None:
    """The columns requested, in their order; refuses what is no metric."""
    if text is None:
        return None
    names = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not names:
        raise UserError(f"metrics={text!r} names none; give names as UA,MIA,gap")
    for name in names:
        metric(name)
    return names
