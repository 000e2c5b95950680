"""How an erasure unlearns: by what met the policy on the same original before, or by retraining."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mu.checkpoints import Spec
from mu.cli.requests import AUTO_METHOD
from mu.erasure.policy import Policy
from mu.errors import UserError
from mu.methods import METHODS, ORACLE_METHOD, make_method
from mu.methods.base import Method
from mu.run_record import RunRecord
from mu.tags import ORIGINAL_KEY
from mu.tracking import Store, read_run
from mu.tracking.reader import unlearned_of


@dataclass(frozen=True)
class Chosen:
    """A method, and why it was taken."""

    method: Method
    why: str


def choose(
    store: Store,
    name: str,
    settings: Mapping[str, Any],
    policy: Policy,
    model: tuple[str, Spec],
    *,
    whole_classes: bool,
) -> Chosen:
    """The method of an erasure.

    ``model``: run ID and spec of the model that is to forget. ``whole_classes``: whether all of a
    class is to be forgotten. UserError if a method was given where the policy demands to retrain.
    """
    run_id, spec = model
    due = retraining_due(store, run_id, spec, policy)
    if name not in (AUTO_METHOD, ORACLE_METHOD) and due:
        raise UserError(
            f"method={name}: {due}, so the policy demands method={ORACLE_METHOD}; take it, or "
            "raise the threshold in policy"
        )
    if name != AUTO_METHOD:
        return Chosen(make_method(name, dict(settings)), "as requested")
    if due:
        return Chosen(make_method(ORACLE_METHOD), due)
    best = _best(store, run_id, policy, whole_classes=whole_classes)
    if best is None:
        why = "no method is known to meet the policy on this model: no finished run measured it"
        return Chosen(make_method(ORACLE_METHOD), why)
    gap, depth = best.metrics["gap"], best.metrics["depth"]
    why = f"in run {best.run_id} its gap was {gap:.2f} and its depth {depth:.0f} %"
    return Chosen(best.make_method(), why)


def unlearnings_before(spec: Spec) -> int:
    """How many unlearnings the model has gone through since it was last trained from scratch."""
    done = [one for one in spec.history if one in METHODS]
    last = max((place for place, one in enumerate(done) if one == ORACLE_METHOD), default=-1)
    return len(done) - 1 - last


def retraining_due(store: Store, run_id: str, spec: Spec, policy: Policy) -> str:
    """Why the model is to be trained from scratch; empty where it need not be."""
    before = unlearnings_before(spec)
    if before >= policy.requests:
        return f"the model went through {before} unlearnings (requests={policy.requests})"
    if before and (gap := read_run(store, run_id).metrics.get("gap", 0.0)) > policy.drift:
        return f"its last gap to an oracle was {gap:.2f} points (drift={policy.drift:g})"
    return ""


def _best(store: Store, run_id: str, policy: Policy, *, whole_classes: bool) -> RunRecord | None:
    """The finished unlearning of the same kind with the smallest gap among those deep enough."""
    lineage = _originals(read_run(store, run_id))
    found = [
        run
        for run in unlearned_of(store, ("unlearn",))
        if not run.is_oracle
        and _originals(run) & lineage
        and run.forget_request.startswith("class:") == whole_classes
        and run.metrics.get("gap", 1e9) <= policy.gap
        and run.metrics.get("depth", 0.0) >= policy.depth
    ]
    return min(found, key=lambda run: (run.metrics["gap"], run.run_id), default=None)


def _originals(run: RunRecord) -> set[str]:
    """Keys of the originals that a run descends from: runs that differ in nothing have one key."""
    own = {key} if (key := run.tags.get(ORIGINAL_KEY)) else set()
    return own if run.upstream is None else own | _originals(run.upstream)
