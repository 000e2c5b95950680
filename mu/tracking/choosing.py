"""Choosing many runs at once: named ones, all of an experiment, or those below a parent run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from mlflow.entities import Run as MlflowRun
from mlflow.entities import ViewType
from mlflow.store.entities.paged_list import PagedList
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from mu.alike import check_ids
from mu.distributed.group import from_first
from mu.errors import UserError, unknown
from mu.readers.documents import read_json
from mu.run_record import RunRecord
from mu.tags import DATA, ENTRY, FORGET, UPSTREAM
from mu.tracking.artifacts import UNLEARNED
from mu.tracking.reader import read_run, read_unlearned, record_of, records, unlearned_of
from mu.tracking.store import FINISHED, Store, active

One = TypeVar("One")
SWEEP_FILE = "sweep.json"  # every task of a sweep and its run
MAKE_ONE = "make one: mlflow run . -e unlearn -P method=l1_sparse -P oracle_run_id=train"


def of_experiment(store: Store, name: str) -> Store:
    """The same store, with the experiment of that name in use; none is created.

    UserError if there is none, or it was deleted; the nearest name is given.
    """
    with store.answers():
        found = store.client.get_experiment_by_name(name)
        known = store.client.search_experiments(view_type=ViewType.ACTIVE_ONLY)
    if found is None:
        raise unknown("experiment", name, [one.name for one in known])
    return replace(store, experiment_id=active(found))


def every_run(store: Store, *, deleted: bool = False) -> Iterator[RunRecord]:
    """All runs of mu in all experiments of the store; or those that were deleted, and are kept.

    A deleted run is there, with its artifacts, until ``mlflow gc`` removes it.
    """
    view = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
    places = _pages(store, lambda token: store.client.search_experiments(view, page_token=token))
    ids = [str(one.experiment_id) for one in places]
    kept = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY

    def page(token: str | None) -> PagedList[MlflowRun]:
        return store.client.search_runs(ids, f"tags.`{ENTRY}` LIKE '%'", kept, page_token=token)

    return (record_of(store, run) for run in _pages(store, page))


def _pages(store: Store, page: Callable[[str | None], PagedList[One]]) -> Iterator[One]:
    """What all pages hold; UserError if the store does not answer."""

    def asked(token: str | None) -> PagedList[One]:
        with store.answers():
            return page(token)

    token = None
    while True:
        found = from_first(partial(asked, token))  # the store may change between ranks
        yield from found
        if not (token := found.token):
            return


def below(store: Store, run_id: str) -> list[RunRecord]:
    """All runs below a run, at whatever depth, in the experiment of that run.

    Of a sweep also the runs that it found made already, which are shown elsewhere. UserError if
    there is no such run.
    """
    parent = read_run(store, run_id)
    there = replace(store, experiment_id=str(store.run(parent.run_id).info.experiment_id))
    found: dict[str, RunRecord] = {}
    waiting = [parent.run_id]
    while waiting:
        children = records(there, {MLFLOW_PARENT_RUN_ID: waiting.pop()})
        new = {run.run_id: run for run in children if run.run_id not in found}
        found |= new
        waiting += new
    found |= {one.run_id: one for one in tasks_of(store, parent)}
    return list(found.values())


def derived(store: Store, run: RunRecord) -> list[RunRecord]:
    """Runs that started from a run, are shown below it, or are tasks of it, newest first."""
    found: dict[str, RunRecord] = {}
    for tag in (UPSTREAM, MLFLOW_PARENT_RUN_ID):
        found |= {one.run_id: one for one in records(store, {tag: run.run_id})}
    found |= {one.run_id: one for one in tasks_of(store, run)}
    found.pop(run.run_id, None)
    return sorted(found.values(), key=lambda one: one.age, reverse=True)


def tasks_of(store: Store, sweep: RunRecord) -> list[RunRecord]:
    """The runs of all tasks of a sweep that has ended, as far as they are there; none of others."""
    if SWEEP_FILE not in store.artifacts(sweep.run_id):
        return []
    found = []
    try:
        tasks = [str(task["run_id"] or "") for task in read_json(sweep.read(SWEEP_FILE))["tasks"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{SWEEP_FILE} of run {sweep.run_id} is damaged: {error!r}") from error
    for run_id in filter(None, tasks):
        with suppress(UserError):  # it was deleted since
            found.append(read_run(store, run_id))
    return found


def oracles_of(store: Store, run: RunRecord) -> Iterator[RunRecord]:
    """Finished oracles of the experiment for the forget set of a run, newest first."""
    tags = {name: run.tags.get(name, "") for name in (FORGET, DATA)}
    return (one for one in records(store, tags, FINISHED) if one.is_oracle)


# --- what is compared ---------------------------------------------------------------------


@dataclass(frozen=True)
class Chosen:
    """Runs to compare."""

    words: str  # where they come from
    runs: Sequence[RunRecord]  # those chosen, and the oracles that they point to
    count: int  # of those chosen
    notes: Sequence[str] = ()  # on what was left out


def choose_runs(
    store: Store, run_ids: str | None, parent: str | None, experiment: str | None
) -> Chosen:
    """Find and read the runs that are to be compared.

    UserError if there are none, one cannot be compared, or more than one of the three is given.

    ``run_ids``: IDs with commas. ``parent``: ID of a run; all finished ones below it.
    ``experiment``: name of one; default: the one in use.
    """
    given = {"run_ids": run_ids, "parent": parent, "experiment": experiment}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise UserError(f"{' and '.join(names)} are given; give one of them")
    if run_ids is not None:
        ids = [word.strip() for word in run_ids.split(",") if word.strip()]
        if not ids:
            raise UserError(f"run_ids={run_ids!r} names no run; give IDs with commas between them")
        runs, notes, words = read_each(store, ids), list[str](), "those named"
    else:
        found, words = _of_parent(store, parent) if parent else _of_experiment(store, experiment)
        runs, notes = _readable(found)
    if not runs:
        raise UserError(f"no finished unlearn run can be read; {notes[0]}")
    return Chosen(words, [*runs, *_further_oracles(store, runs)], len(runs), notes)


def read_each(store: Store, run_ids: Sequence[str]) -> list[RunRecord]:
    """Runs that are named, each once, all that is compared of them read.

    UserError if one is named twice, or has unlearned nothing.
    """
    check_ids(run_ids)
    found = [read_unlearned(store, run_id) for run_id in run_ids]
    check_ids([run.run_id for run in found])
    return [run.complete() for run in found]


def _of_parent(store: Store, parent: str) -> tuple[list[RunRecord], str]:
    found = below(store, parent)
    if not found:
        raise UserError(f"run {parent} has no runs below it; give run_ids, or the ID of a parent")
    runs = [run for run in found if run.entry in UNLEARNED and run.holds_network]
    if not runs:
        raise UserError(f"there is no finished unlearn run below run {parent}; {MAKE_ONE}")
    return runs, f"those below run {parent}"


def _of_experiment(store: Store, name: str | None) -> tuple[list[RunRecord], str]:
    where = store if name is None else of_experiment(store, name)
    with store.answers():
        called = str(store.client.get_experiment(where.experiment_id).name)
    runs = list(unlearned_of(where))
    if not runs:
        raise UserError(f"there is no finished unlearn run in experiment {called!r}; {MAKE_ONE}")
    return runs, f"all finished ones of experiment {called}"


def _readable(found: Iterable[RunRecord]) -> tuple[list[RunRecord], list[str]]:
    """Those that can be read, and what is wrong with the others: nobody named them."""
    runs, notes = [], []
    for run in found:
        try:
            runs.append(run.complete())
        except UserError as error:
            notes.append(f"left out: {error}")
    return runs, notes


def _further_oracles(store: Store, runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Oracles that the runs point to, or that were made for the same, and that are not there."""
    found: dict[str, RunRecord] = {}
    unlinked: dict[tuple[str | None, str | None], RunRecord] = {}
    for run in (one for one in runs if not one.is_oracle):
        if run.oracle_run_id is None:
            unlinked[run.forget_fingerprint, run.tags.get(DATA)] = run
        elif run.oracle is not None:
            found[run.oracle.run_id] = run.oracle
    for run in unlinked.values():
        found |= {one.run_id: one for one in oracles_of(store, run)}
    known = {run.run_id for run in runs}
    wanted = [found[run_id] for run_id in sorted(found.keys() - known)]
    return _readable(run for run in wanted if run.holds_network and run.entry in UNLEARNED)[0]
