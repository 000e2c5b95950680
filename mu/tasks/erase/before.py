"""What earlier erasures did: they removed the records of a request, or judged the same model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from mu import tags
from mu.erasure.policy import Policy
from mu.erasure.records import Record
from mu.erasure.verdict import OPEN
from mu.errors import UserError
from mu.evidence.bundle import BUNDLE_FILE
from mu.run_record import RunRecord
from mu.tracking import Store, read_run


@dataclass(frozen=True)
class Answered:
    """A request of which nothing is left to forget, and the erasures that did it."""

    records: Sequence[Record]
    erasures: Sequence[RunRecord]


def answered_before(store: Store, run_id: str, records: Sequence[Record]) -> Answered | None:
    """Whether earlier erasures removed all records that a model was trained on.

    None if one of them is not forgotten, was removed otherwise, the evidence is gone, or its
    erasure was stopped before its gate opened.
    """
    if any(one.status == "trained" for one in records):
        return None
    left = {int(one.number or 0) for one in records if one.status == "forgotten"}
    erasures: dict[str, RunRecord] = {}
    run: RunRecord | None = read_run(store, run_id)
    seen: set[str] = set()
    while run is not None and left and run.run_id not in seen:
        seen.add(run.run_id)
        if run.forget_fingerprint is not None and left & {*run.forget_indices.tolist()}:
            left -= {*run.forget_indices.tolist()}
            erasure = run.tags.get(tags.EVIDENCE, "")
            if not _stands(store, erasure):
                return None
            erasures[erasure] = found = read_run(store, erasure)
            if found.status != "FINISHED" and found.tags.get(tags.GATE) != OPEN:
                return None
        run = run.upstream
    return Answered(records, [*erasures.values()]) if erasures and not left else None


def _stands(store: Store, erasure: str) -> bool:
    """Whether the bundle of an erasure is there."""
    with suppress(UserError):
        return bool(erasure) and BUNDLE_FILE in store.artifacts(erasure)
    return False


def judged_before(store: Store, run_id: str, policy: Policy) -> list[str]:
    """That an earlier erasure judged the same model, and whether by other thresholds."""
    earlier = store.run(run_id).data.tags.get(tags.EVIDENCE)
    if earlier is None:
        return []
    run = store.run(earlier)
    same = all(
        run.data.params.get(f"policy_{name}") == str(value)
        for name, value in policy.as_dict().items()
    )
    thresholds = "the same thresholds" if same else "other thresholds"
    word = run.data.tags.get(tags.VERDICT, "unknown")
    return [f"This model was judged before, by {thresholds}: {word} (erasure {earlier})."]
