"""The runs that are compared: chosen, read, and completed by their oracles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mu.cli.seed_runs import check_ids, fetch_seed_run
from mu.errors import UserError
from mu.report.comparison.records import SeedRun

if TYPE_CHECKING:
    from mu.tracking import Store

MAKE_ONE = "make one: mlflow run . -e unlearn -P method=l1_sparse -P oracle_run_id=train"


@dataclass(frozen=True)
class Chosen:
    """Runs to compare.

    Parameters
    ----------
    words
        Where they come from.
    runs
        Those chosen, and the oracles that they point to.
    count
        How many were chosen.
    notes
        What was left out.
    """

    words: str
    runs: Sequence[SeedRun]
    count: int
    notes: Sequence[str] = ()


def choose_runs(
    store: Store, run_ids: str | None, parent: str | None, experiment: str | None
) -> Chosen:
    """Find and read the runs that were asked for.

    Parameters
    ----------
    run_ids
        IDs with commas.
    parent
        ID of a run; all finished ones below it.
    experiment
        Name of an experiment; default: the one in use.

    Raises
    ------
    UserError
        If there are none, one cannot be compared, or more than one of the three is given.
    """
    given = {"run_ids": run_ids, "parent": parent, "experiment": experiment}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise UserError(f"{' and '.join(names)} are given; give one of them")
    if run_ids is not None:
        ids = _listed(run_ids)
        runs, notes = [_fetch(store, run_id) for run_id in ids], list[str]()
        words = "those named"
    elif parent is not None:
        runs, notes = _readable(store, _ids_below(store, parent))
        words = f"those below run {parent}"
    else:
        runs, notes, words = _of_experiment(store, experiment)
    if not runs:
        raise UserError(f"no finished unlearn run can be read; {notes[0]}")
    return Chosen(words, [*runs, *_further_oracles(store, runs)], len(runs), notes)


def _listed(text: str) -> list[str]:
    ids = [word.strip() for word in text.split(",") if word.strip()]
    if not ids:
        raise UserError(f"run_ids={text!r} names no run; give IDs with commas between them")
    check_ids(ids)
    return ids


def _ids_below(store: Store, parent: str) -> list[str]:
    from mu.tracking import UNLEARNED, below

    found = below(store, parent)
    if not found:
        raise UserError(f"run {parent} has no runs below it; give run_ids, or the ID of a parent")
    ids = [
        run.info.run_id
        for run in found
        if run.data.tags.get("mu.entry") in UNLEARNED
        and run.info.status == "FINISHED"
        and "mu.spec" in run.data.tags
    ]
    if not ids:
        raise UserError(f"there is no finished unlearn run below run {parent}; {MAKE_ONE}")
    return ids


def _of_experiment(store: Store, name: str | None) -> tuple[list[SeedRun], list[str], str]:
    from mu.tracking import experiment_name, of_experiment, unlearned_of

    where = store if name is None else of_experiment(store, name)
    called = experiment_name(where)
    ids = [run.info.run_id for run in unlearned_of(where)]
    if not ids:
        raise UserError(f"there is no finished unlearn run in experiment {called!r}; {MAKE_ONE}")
    runs, notes = _readable(store, ids)
    return runs, notes, f"all finished ones of experiment {called}"


def _readable(store: Store, run_ids: Iterable[str]) -> tuple[list[SeedRun], list[str]]:
    """Those that can be read, and what is wrong with the others: nobody named them."""
    runs, notes = [], []
    for run_id in run_ids:
        try:
            runs.append(_fetch(store, run_id))
        except UserError as error:
            notes.append(f"left out: {error}")
    return runs, notes


def _fetch(store: Store, run_id: str) -> SeedRun:
    """What is known of a run, and of the original that it started from."""
    run = fetch_seed_run(store, run_id)
    try:
        original = store.run(run.tags.get("mu.upstream", "")).data
    except UserError:  # it was deleted since
        return replace(run, sparsity=run.metrics.get("sparsity"))
    return replace(
        run,
        sparsity=original.metrics.get("sparsity"),
        original_mask=original.tags.get("mu.mask"),
    )


def _further_oracles(store: Store, runs: Sequence[SeedRun]) -> list[SeedRun]:
    """Oracles that the runs point to, or that were made for the same, and that are not there."""
    from mu.tracking import oracles_of

    known = {run.run_id for run in runs}
    methods = [run for run in runs if not run.is_oracle]
    wanted = {run.oracle_run_id for run in methods if run.oracle_run_id}
    unlinked = {
        (run.tags.get("mu.forget", ""), run.tags.get("mu.data", ""))
        for run in methods
        if run.oracle_run_id is None
    }
    for forget, data in sorted(unlinked):
        wanted |= {run.info.run_id for run in oracles_of(store, forget, data)}
    return _readable(store, sorted(wanted - known))[0]
