"""Where records went: what each network of a store was trained on, forgot, or took over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from mu.data.images import ImageDataset, Indices
from mu.data.splits import Split
from mu.erasure.verdict import CLOSED
from mu.errors import UserError
from mu.methods.retrain import Retrain
from mu.recipes.recipe import Recipe
from mu.report.verdict import BAD
from mu.run_record import RunRecord
from mu.spec import Spec
from mu.tags import DATA, EVIDENCE, GATE, VERDICT, WEIGHTS, fingerprint_tag
from mu.tracking.artifacts import TRANSFERRED


class Forgetting(NamedTuple):
    """How records were forgotten without a retraining."""

    method: str
    run_id: str
    verdict: str  # what that came to, in a word; empty where there was no oracle to tell
    erasure: str = ""  # the erasure that found records in it, and closed its gate

    def __str__(self) -> str:
        verdict = f", {self.verdict}" if self.verdict else ""
        text = f"forgotten by {self.method} in run {self.run_id} (not retrained{verdict})"
        return f"{text}, but erasure {self.erasure} lets it not pass" if self.erasure else text


@dataclass(frozen=True)
class Knowledge:
    """What a network has to do with the records; counts of these."""

    trained: int = 0  # those that it was trained on and has not forgotten
    # forgotten, without: those that were forgotten, by how and by which run; and those that it was
    # retrained without, by run.
    forgotten: Mapping[Forgetting, int] = field(default_factory=dict)
    without: Mapping[str, int] = field(default_factory=dict)
    validation: int = 0
    left_out: int = 0
    via: str | None = None  # the run whose network it took, where all that is said is of that one
    unclear: str = ""  # why nothing can be said

    @property
    def may_hold(self) -> bool:
        """Whether the network knows a record, or nothing shows that it does not.

        What an unlearning with a bad verdict hid, or did not remove, counts as known.
        """
        failed = any(one.verdict in BAD or one.erasure for one in self.forgotten)
        return bool(self.trained or self.unclear or failed)


class Lineage:
    """The networks of a store, by run ID, and the records of one data set.

    A spec is read only of runs on this data; of others, what they descend from tells all.
    """

    def __init__(
        self, runs: Mapping[str, RunRecord], dataset: ImageDataset, numbers: Indices
    ) -> None:
        self.runs, self.numbers = runs, numbers
        self._data = fingerprint_tag(dataset.fingerprint)
        self._labels = dataset.published_labels.numpy()
        self._known: dict[str, Knowledge] = {}
        self._splits: dict[tuple[object, ...], Split] = {}

    def is_of_data(self, run: RunRecord) -> bool:
        """Whether a run is about the data set of the records."""
        return run.tags.get(DATA) == self._data

    def knows(self, run: RunRecord) -> Knowledge:
        """What the network of a run has to do with the records."""
        if run.run_id not in self._known:
            # Whoever may write to the store may have tagged two runs as each other's upstream.
            self._known[run.run_id] = Knowledge(unclear="it descends from itself")
            self._known[run.run_id] = self._found(run)
        return self._known[run.run_id]

    def upstream(self, run: RunRecord) -> RunRecord | None:
        """The run that it started from, if the store still has it."""
        return self.runs.get(run.upstream_run_id or "")

    def trains(self, spec: Spec) -> bool:
        """Whether a training by this spec uses one of the records."""
        used = np.setdiff1d(self._split(spec.recipe).train, np.array(spec.removed, np.int64))
        return bool(np.isin(self.numbers, used).any())

    def _found(self, run: RunRecord) -> Knowledge:
        if run.entry == TRANSFERRED:
            # It is trained on all images of its target, those of the validation part, too.
            own = self.is_of_data(run)
            return Knowledge(trained=len(self.numbers)) if own else self._inherited(run)
        if not self.is_of_data(run):
            return Knowledge()
        try:
            return self._own(run)
        except UserError as error:
            return Knowledge(unclear=f"its spec cannot be read ({error})")

    def _inherited(self, run: RunRecord) -> Knowledge:
        before = self.upstream(run)
        if before is None:
            return Knowledge(unclear=f"its source, run {run.upstream_run_id}, is gone")
        return replace(self.knows(before), via=before.run_id)

    def _own(self, run: RunRecord) -> Knowledge:
        whole = self._split(run.spec.recipe)
        inside = np.intersect1d(self.numbers, whole.train)
        removed = np.intersect1d(inside, run.spec.removed)
        forgotten, without = self._how(run, removed)
        gone = sum(forgotten.values()) + sum(without.values())
        return Knowledge(
            len(inside) - gone,
            forgotten,
            without,
            len(np.intersect1d(self.numbers, whole.val)),
            len(np.intersect1d(self.numbers, whole.unused)),
        )

    def _how(
        self, run: RunRecord, removed: Indices
    ) -> tuple[Mapping[Forgetting, int], Mapping[str, int]]:
        """By which runs the records were removed that a network no longer has, step by step back.

        A retraining goes without all that was removed before it, however that was. A method that
        left all weights as they were has removed nothing.
        """
        forgotten, without = Counter[Forgetting](), Counter[str]()
        one: RunRecord | None = run
        seen: set[str] = set()
        while one is not None and len(removed) and one.run_id not in seen:
            seen.add(one.run_id)
            method, before = last_step(one), self.upstream(one)
            if method == Retrain.name:
                without[one.run_id] += len(removed)
                break
            earlier = np.intersect1d(removed, self._removed(before))
            if len(earlier) < len(removed) and not _unchanged(one, before):
                closed = one.tags.get(EVIDENCE, "?") if one.tags.get(GATE) == CLOSED else ""
                how = Forgetting(method, one.run_id, one.tags.get(VERDICT, ""), closed)
                forgotten[how] += len(removed) - len(earlier)
            removed, one = earlier, before
        return dict(forgotten), dict(without)

    def _removed(self, run: RunRecord | None) -> Indices:
        """What a run had unlearned; nothing where it is gone, of other data or unreadable."""
        found: tuple[int, ...] = ()
        if run is not None and self.is_of_data(run):
            with suppress(UserError):
                found = run.spec.removed
        return np.array(found, np.int64)

    def _split(self, recipe: Recipe) -> Split:
        key = (*recipe.split.as_dict().values(), recipe.trained_on)
        if key not in self._splits:
            self._splits[key] = recipe.split_of(self._labels)
        return self._splits[key]


def _unchanged(run: RunRecord, before: RunRecord | None) -> bool:
    weights = run.tags.get(WEIGHTS)
    return before is not None and weights is not None and weights == before.tags.get(WEIGHTS)


def last_step(run: RunRecord) -> str:
    """What was last done to a network: the method that unlearned, of a run that did."""
    return run.spec.history[-1] if run.spec.history else "an unknown method"
