"""The scope of a request: every network of the store that its records went into, what is left.

Networks of other data are in it too, so that the list is whole: they are not affected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mu.data import IN_FILES
from mu.data.images import ImageDataset, Indices
from mu.errors import UserError
from mu.report.run_names import run_name
from mu.run_record import RunRecord
from mu.tags import WEIGHTS
from mu.tasks.erase.leftovers import Leftover, leftovers_of
from mu.tasks.erase.lineage import Knowledge, Lineage
from mu.tasks.erase.masks import mask_saw
from mu.tracking import Store, every_run
from mu.tracking.artifacts import ORIGINALS, UNLEARNED
from mu.tracking.saved_runs import LOADED

Decision = Literal["unlearn", "retire", "not_affected"]


@dataclass(frozen=True)
class ScopedModel:
    """A run that holds a network, and what becomes of it."""

    run_id: str
    name: str
    entry: str
    records: int  # of the records, those that it was trained on and has not forgotten
    decision: Decision
    reason: str
    weights: str  # fingerprint of the weights, as the run's tag has it
    versions: Sequence[Any] = ()  # registered ones


@dataclass(frozen=True)
class ScopedMask:
    """The mask of a target, and whether the training that found it saw the records."""

    run_id: str
    saw_records: bool
    reason: str


@dataclass(frozen=True)
class Scope:
    """All of it; models from the oldest to the newest."""

    models: Sequence[ScopedModel]
    masks: Sequence[ScopedMask]
    leftovers: Sequence[Leftover]


def scope_of(
    store: Store,
    dataset: ImageDataset,
    numbers: Indices,
    targets: Sequence[str],
) -> Scope:
    """The scope of a request for these sample numbers, over all experiments of the store.

    Specs are read of runs on this data alone, and no weights. UserError if a target holds no
    network, or the store does not answer. ``targets``: whole IDs of the runs that are to be
    unlearned.
    """
    runs = {run.run_id: run for run in every_run(store)}
    gone = {run.run_id: run for run in every_run(store, deleted=True)}
    for run_id in targets:
        if run_id not in runs or not runs[run_id].holds_network:
            raise UserError(
                f"run {run_id} holds no network of this store, so it cannot be unlearned; give "
                f"the ID of a finished run of {', '.join(ORIGINALS)}"
            )
    lineage = Lineage({**gone, **runs}, dataset, numbers)
    return Scope(
        [
            _model(run, lineage, is_target=run.run_id in targets)
            for run in sorted(runs.values(), key=lambda one: one.age)
            if run.holds_network or _is_made(run, lineage)
        ],
        [ScopedMask(one, *mask_saw(runs[one], lineage)) for one in targets],
        leftovers_of(store, dataset, lineage, [*runs.values()], [*gone.values()]),
    )


def _is_made(run: RunRecord, lineage: Lineage) -> bool:
    """Whether a network is being made on this data at this moment."""
    return run.status == "RUNNING" and run.entry in ORIGINALS and lineage.is_of_data(run)


def _model(run: RunRecord, lineage: Lineage, *, is_target: bool) -> ScopedModel:
    known, total = Knowledge(), len(lineage.numbers)
    if not run.holds_network:
        why = "it is RUNNING on this data; wait for its end, or stop it, and ask again"
        decision: Decision = "retire"
    elif LOADED in run.tags:
        decision = "not_affected"
        why = f"only its numbers are here, saved as run {run.tags[LOADED]}: it holds no network"
    else:
        known = lineage.knows(run)
        decision = ("unlearn" if is_target else "retire") if known.may_hold else "not_affected"
        why = in_words(known, total)
    weights = run.tags.get(WEIGHTS, "")
    return ScopedModel(run.run_id, _name(run), run.entry, known.trained, decision, why, weights)


def _name(run: RunRecord) -> str:
    """The run's name; of one that forgot a list only how: a list's name may be a person's."""
    listed = run.entry in UNLEARNED and run.forget_request.partition(":")[0] in IN_FILES
    return run_name(run.params.get("method", run.entry), "list") if listed else run.name


def in_words(known: Knowledge, total: int) -> str:
    """Why a network is affected, or is not; ``total``: how many records there are."""
    if known.unclear:
        return f"{known.unclear}, so nothing shows that it did not see the records"
    found = ", ".join(_parts(known, total)) or "trained on data of another fingerprint"
    return found if known.via is None else f"descends from run {known.via}: {found}"


def _parts(known: Knowledge, total: int) -> Iterator[str]:
    """What the records are to a network; how many of them, unless all are the same."""
    if known.trained:
        yield f"trained on {known.trained} of the {total} records"
    others = {str(how): count for how, count in known.forgotten.items()}
    others |= {f"retrained without them in run {one}": n for one, n in known.without.items()}
    others |= {"in its validation part alone": known.validation}
    others |= {"left out of its training": known.left_out}
    yield from (f"{n} {text}" if n < total else text for text, n in others.items() if n)
