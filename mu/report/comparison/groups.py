"""Sorting runs: what must never be mixed, what shares a table, what is averaged.

Runs of one *group* forget the same of the same kind of original and are compared with the same
kind of oracle. Inside it, a *block* of columns is one way of pruning, a row one method with its
settings, and runs of one row and block differ in their seeds alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from mu.alike import canonical, canonical_items
from mu.data.ranges import to_ranges
from mu.pruning import PRUNERS, pruner_class
from mu.report.comparison.oracles import USUAL, mask_from
from mu.report.palette import method_rank
from mu.run_record import RunRecord, Seeds

Settings = Mapping[str, str]
Key = tuple[tuple[str, str], ...]
Group = tuple[Settings, Sequence[RunRecord]]
DENSE: Key = (("pruned", "false"),)
_UNSET = "not set"
_FINGERPRINTS = ("data", "forget set")
_TRAINING = ("epochs", "optimizer", "lr", "batch_size", "weight_decay", "schedule", "augment")


def split_groups(runs: Sequence[RunRecord], oracles: Mapping[str, RunRecord]) -> list[Group]:
    """Runs that can be compared, and what they have in common, by name in canonical spelling.

    The order of the groups does not depend on that of the runs. ``oracles``: of
    :func:`~mu.report.comparison.oracles.link`.
    """
    found: dict[Key, list[RunRecord]] = defaultdict(list)
    for run in sorted(runs, key=lambda one: one.age):
        oracle = run if run.is_oracle else oracles.get(run.run_id)
        kind = USUAL if oracle is None else mask_from(oracle)
        original = {n: v for n, v in run.original.items() if n not in _pruning_settings()}
        found[canonical_items({**original, "forget": run.forget, "oracle": kind})].append(run)
    groups = [part for key, own in found.items() for part in _by_forget_set(dict(key), own)]
    return sorted(groups, key=lambda one: sorted(one[0].items()))


def _by_forget_set(shared: Settings, runs: Sequence[RunRecord]) -> list[Group]:
    """One group where each split has one forget set, else a group for each set."""
    sets = {(run.seeds.split, run.forget_fingerprint) for run in runs}
    if len(sets) == len({split for split, _ in sets}):
        return [(shared, runs)]
    parts: dict[str, list[RunRecord]] = defaultdict(list)
    for run in runs:
        parts[str(run.forget_fingerprint)].append(run)
    return [({**shared, "forget set": name}, part) for name, part in parts.items()]


@cache
def _pruning_settings() -> frozenset[str]:
    """Settings of an original that say how it was pruned, by their names in ``original``."""
    names = {name for one in PRUNERS for name in pruner_class(one).names()}
    typed = names | {"pruner", "rewind", "rewind_epoch"}
    return frozenset({f"prune_{name}" for name in typed} | {"given mask"})


def block_key(run: RunRecord) -> Key:
    """How its original was pruned; a dense one was not, whatever the pruner would have been."""
    if canonical(run.original.get("prune_rate", "")) == "0" and not run.original.get("given mask"):
        return DENSE
    return canonical_items({n: v for n, v in run.original.items() if n in _pruning_settings()})


def row_order(row: tuple[str, Key]) -> Any:
    """Orders methods with their settings: the oracle first, settings by the size of numbers."""
    return method_rank(row[0]), [(name, *_as_number(value)) for name, value in row[1]]


def _as_number(value: str) -> tuple[int, float, str]:
    try:
        return 0, float(value), ""
    except ValueError:
        return 1, 0.0, value


def newest_of_each_seed(runs: Sequence[RunRecord], linked: Collection[str]) -> list[RunRecord]:
    """Runs of one row and block, one for each triple of seeds: another repeats what it says.

    ``linked``: IDs of oracles that runs are compared with, which come before newer ones.
    """
    kept: dict[Seeds, RunRecord] = {}
    for run in sorted(runs, key=lambda one: (one.run_id in linked, one.age)):
        kept[run.seeds] = run
    return [kept[seeds] for seeds in sorted(kept)]


# --- words --------------------------------------------------------------------------------


def tell_apart(names: Sequence[str], settings: Sequence[Settings]) -> list[str]:
    """Labels, no two the same: a name, and the settings in which it differs from its like."""
    labels: list[str] = []
    for name, own in zip(names, settings, strict=True):
        same = [other for other, its in zip(settings, names, strict=True) if its == name]
        values = {
            field: {other.get(field, _UNSET) for other in same}
            for field in sorted({field for other in same for field in other})
        }
        # A preset stands for all that it sets, and a method without one for its defaults.
        by_preset = len(values.get("preset", ())) == len(same) > 1
        differ = [
            f"{field.removeprefix('prune_')}={_short(field, own.get(field, _UNSET))}"
            for field in (["preset"] if by_preset else values)
            if len(values[field]) > 1 and not (by_preset and own.get(field, _UNSET) == _UNSET)
        ]
        label = f"{name} ({', '.join(differ)})" if differ else name
        labels.append(label if label not in labels else f"{label} #{len(labels) + 1}")
    return labels


def _short(name: str, value: str) -> str:
    return value[:8] if name in _FINGERPRINTS else value


def title(shared: Settings) -> str:
    """What a group is, in words; groups that share it are told apart by :func:`tell_apart`."""
    words = f"{shared.get('dataset', 'data')}, {shared.get('arch', 'network')}: "
    words += f"forget {shared.get('forget', '?')}"
    if trigger := shared.get("trigger"):
        words += f", backdoor {trigger} on {shared.get('poison', '?')}"
    if shared.get("history", "('pruned',)") not in ("('pruned',)", "['pruned']", "('imported',)"):
        words += f", after {shared['history'].strip('()[]').rstrip(',')}"
    if shared.get("oracle", USUAL) != USUAL:
        words += ", oracle with a mask of its own"
    return words


def common_settings(shared: Settings, runs: Sequence[RunRecord]) -> dict[str, str]:
    """What a reader wants to know of all runs of a group, by name: training, data, seeds."""
    found = {name: shared[f"prune_{name}"] for name in _TRAINING if shared.get(f"prune_{name}")}
    for name in ("label_smoothing", "sam_rho"):
        if shared.get(f"prune_{name}", "0") not in ("0", ""):
            found[name] = shared[f"prune_{name}"]
    if "data" in shared:
        found["data"] = _short("data", shared["data"])
    for place, name in enumerate(Seeds._fields):
        seeds = sorted({run.seeds[place] for run in runs})
        found[f"{name} seed{'s' if len(seeds) > 1 else ''}"] = to_ranges(np.array(seeds))
    return found
