"""Whether the training that found a mask saw the records: a mask says something of its data, too.

A mask that was found without data, or on the retain set, does not.
"""

from __future__ import annotations

from mu.errors import UserError
from mu.methods.retrain import Retrain
from mu.models import FITTED
from mu.recipes.recipe import Recipe
from mu.run_record import RunRecord
from mu.tags import MASK
from mu.tasks.erase.lineage import Lineage, last_step
from mu.tracking.artifacts import TRANSFERRED, UNLEARNED

UNKNOWN = "nothing shows that it was found without the records"
TAKEN = "taken from run"


def mask_saw(run: RunRecord, lineage: Lineage, seen: tuple[str, ...] = ()) -> tuple[bool, str]:
    """Whether the mask of a run was found by a training that saw a record, and how it was found.

    Where that cannot be known it counts as one that did. ``seen``: runs that took it from this one.
    """
    if run.run_id in seen:
        return True, f"its runs take it from each other: {UNKNOWN}"
    seen = (*seen, run.run_id)
    try:
        before = _taken_from(run, lineage)
        if before is None:
            return _found_by(run, lineage, seen)
        saw, why = mask_saw(before, lineage, seen)
        return saw, why if why.startswith(TAKEN) else f"{TAKEN} {before.run_id}: {why}"
    except UserError as error:
        return True, f"{UNKNOWN} ({error})"


def _taken_from(run: RunRecord, lineage: Lineage) -> RunRecord | None:
    """The run whose mask a run took over; None where it found its own, or that is gone."""
    before = lineage.upstream(run)
    if run.entry in UNLEARNED:
        if last_step(run) == Retrain.name:
            return before if run.params.get("mask_from") != "retain" else None
        same = before is not None and before.tags.get(MASK) == run.tags.get(MASK)
        return before if same else None
    if run.entry == TRANSFERRED:  # a new head that can be pruned is kept whole
        return before
    return before if run.spec.recipe.given_mask is not None else None


def _found_by(run: RunRecord, lineage: Lineage, seen: tuple[str, ...]) -> tuple[bool, str]:
    """How a run found its own mask."""
    recipe, known = run.spec.recipe, lineage.knows(run)
    if run.entry == TRANSFERRED or (run.entry in UNLEARNED and not _found_anew(run)):
        return _changed(run, lineage, seen)
    if recipe.given_mask is not None:
        return True, f"it was given from elsewhere: {UNKNOWN}"
    if recipe.make_pruner().rate == 0:
        return False, "nothing is pruned"
    if without := _without_data(recipe):
        return False, without
    if known.unclear:
        return True, f"{known.unclear}: {UNKNOWN}"
    if known.trained:
        what = f"{known.trained} of the {len(lineage.numbers)} records"
        return True, f"found by {recipe.pruner} in a training on {what}"
    return False, f"found by {recipe.pruner} in a training without the records"


def _found_anew(run: RunRecord) -> bool:
    return last_step(run) == Retrain.name and run.params.get("mask_from") == "retain"


def _changed(run: RunRecord, lineage: Lineage, seen: tuple[str, ...]) -> tuple[bool, str]:
    """Of a run whose source is gone, or that changed the mask of its source."""
    before = lineage.upstream(run)
    if before is None:
        return True, f"its source, run {run.upstream_run_id}, is gone: {UNKNOWN}"
    if lineage.knows(before).may_hold:
        return True, f"changed by {last_step(run)} on a network that was trained on the records"
    saw, why = mask_saw(before, lineage, seen)
    return saw, f"changed by {last_step(run)}; that of run {before.run_id} was {why}"


def _without_data(recipe: Recipe) -> str:
    """Why a pruner's mask depends on no training image; empty where it does."""
    pruner = recipe.make_pruner()
    if pruner.looks_at == "nothing":
        return f"drawn by {recipe.pruner}, which looks at neither data nor weights"
    fresh = pruner.when == "initial" and recipe.model.arch not in FITTED
    if pruner.looks_at == "weights" and fresh:
        return f"found by {recipe.pruner} on initial weights, without data"
    return ""
