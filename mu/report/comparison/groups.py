"""Sorting runs: what must never be mixed, what stands beside each other, what is averaged.

Runs of one *group* forget the same of the same kind of original and are held against the same
kind of oracle. Inside it, a *block* of columns is one way of pruning, a row one method with its
settings, and runs of one row and block differ in their seeds alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mu.pruning import PRUNERS, pruner_class
from mu.report.comparison.oracles import mask_from
from mu.report.comparison.records import UPSTREAM, SeedRun, canonical, canonical_items
from mu.report.palette import method_rank

Key = tuple[Any, ...]
DENSE: Key = ("dense",)


def pruning_settings() -> frozenset[str]:
    """Settings of an original that say how it was pruned, by their names in ``original``."""
    own = {name for one in PRUNERS for name in pruner_class(one).names()}
    typed = own | {"pruner", "rewind", "rewind_epoch"}
    return frozenset({f"prune_{name}" for name in typed} | {"given mask"})


@dataclass(frozen=True)
class Group:
    """Runs that can be compared.

    Parameters
    ----------
    shared
        What all of them have in common, by name, in canonical spelling.
    """

    shared: Mapping[str, str]
    runs: Sequence[SeedRun]


def split_groups(runs: Sequence[SeedRun], oracles: Mapping[str, SeedRun]) -> list[Group]:
    """Sort runs into groups, the order of which does not depend on that of the runs.

    Parameters
    ----------
    oracles
        Of :func:`~mu.report.comparison.oracles.link`.
    """
    apart = pruning_settings()
    found: dict[Key, list[SeedRun]] = {}
    for run in sorted(runs, key=lambda one: one.age):
        found.setdefault(_shared_of(run, oracles.get(run.run_id), apart), []).append(run)
    groups = []
    for key, own in found.items():
        for extra, part in _same_forget_sets(own).items():
            groups.append(Group(dict((*key, *extra)), part))
    return sorted(groups, key=lambda one: sorted(one.shared.items()))


def _shared_of(run: SeedRun, oracle: SeedRun | None, apart: frozenset[str]) -> Key:
    own = {name: value for name, value in run.original.items() if name not in apart}
    judge = run if run.is_oracle else oracle
    kind = UPSTREAM if judge is None else mask_from(judge)
    return canonical_items({**own, "forget": run.forget, "oracle": kind})


def _same_forget_sets(runs: Sequence[SeedRun]) -> dict[Key, list[SeedRun]]:
    """One group where each split has one forget set, else a group for each set."""
    sets: dict[int, set[str | None]] = {}
    for run in runs:
        sets.setdefault(run.seeds.split, set()).add(run.tags.get("mu.forget"))
    if all(len(found) == 1 for found in sets.values()):
        return {(): list(runs)}
    parts: dict[Key, list[SeedRun]] = {}
    for run in runs:
        parts.setdefault((("forget set", str(run.tags.get("mu.forget"))),), []).append(run)
    return parts


def block_key(run: SeedRun, apart: frozenset[str]) -> Key:
    """How its original was pruned; a dense one was not, whatever the pruner would have been."""
    if canonical(run.original.get("prune_rate", "")) == "0" and not run.original.get("given mask"):
        return DENSE
    return canonical_items({n: v for n, v in run.original.items() if n in apart})


def row_key(run: SeedRun) -> Key:
    """Method and settings."""
    return (run.method, canonical_items(run.settings))


def without_repeats(
    runs: Sequence[SeedRun], linked: Iterable[str]
) -> tuple[list[SeedRun], list[SeedRun]]:
    """Runs of one row and block, one for each triple of seeds, and those left out.

    Of several the newest is kept, and among oracles one that others are held against (``linked``,
    run IDs): a repetition says nothing beside the first.
    """
    judges = set(linked)
    kept: dict[Any, SeedRun] = {}
    for run in sorted(runs, key=lambda one: (one.run_id in judges, one.age)):
        kept[run.seeds] = run
    chosen = sorted(kept.values(), key=lambda one: (one.seeds, one.run_id))
    return chosen, [run for run in runs if run not in chosen]


def row_labels(keys: Sequence[Key]) -> dict[Key, str]:
    """Names of rows: the method, and in what it differs from other rows of the same method.

    Returns
    -------
    dict
        In the order of a table: the oracle, then methods as :func:`method_rank` orders them.
    """
    ordered = sorted(keys, key=lambda key: (method_rank(key[0]), _sortable(key[1])))
    labels = {}
    for key in ordered:
        same = [dict(other[1]) for other in ordered if other[0] == key[0]]
        words = ", ".join(f"{name}={value}" for name, value in differing(dict(key[1]), same))
        labels[key] = f"{key[0]} ({words})" if words else key[0]
    return labels


def differing(one: Mapping[str, str], among: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Settings of ``one`` that are not the same in all of ``among``."""
    names = sorted({name for other in among for name in other})
    return [
        (name, one.get(name, "not set"))
        for name in names
        if len({other.get(name, "not set") for other in among}) > 1
    ]


def _sortable(items: Sequence[tuple[str, str]]) -> list[Any]:
    """Numbers before words, and by their size."""
    found = []
    for name, value in items:
        try:
            found.append((name, 0, float(value), ""))
        except ValueError:
            found.append((name, 1, 0.0, value))
    return found
