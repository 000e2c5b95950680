"""What a trial is, and how good it was: by what all methods stop by, or by an oracle."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from mu import tags
from mu.errors import UserError
from mu.methods.steps.criterion import Standing, StopCriterion
from mu.methods.stopping import RULE
from mu.rounding import rounded
from mu.tasks.base import make_run
from mu.tasks.perform import forgotten, perform, train_oracle
from mu.tasks.problem import UnlearningProblem, UnlearnTask
from mu.tasks.resolve import oracle_of
from mu.tasks.resume import continue_unlearning
from mu.tracking import FINISHED, Recorder, Store, tracked

EXCESS, DROP, GAP = "tune_excess", "tune_drop", "tune_gap"  # metrics of trials
Metrics = Mapping[str, float]
Rank = tuple[float, ...]


class Result(NamedTuple):
    """What came of a trial."""

    run_id: str
    metrics: Metrics


class Judge(ABC):
    """Has trials run, each below the run ``parent``, and says which is better."""

    kind: ClassVar[str]  # the tag ``mu.trial`` of the runs
    columns: ClassVar[Mapping[str, str]]  # what is shown of a trial: headings by metric
    words: str  # what trials are judged by

    def __init__(self, store: Store, problem: UnlearningProblem, parent: str) -> None:
        self.store, self.problem, self.parent = store, problem, parent

    @abstractmethod
    def rank(self, metrics: Metrics) -> Rank:
        """What comes first is better."""

    @abstractmethod
    def is_met(self, metrics: Metrics) -> bool:
        """Whether no trial could be better, so that the search is over."""

    @abstractmethod
    def found(self, task: UnlearnTask) -> Result | None:
        """What came of such a trial that was finished before, wherever, or None."""

    @abstractmethod
    def made(self, task: UnlearnTask, title: str) -> Result:
        """What comes of a trial; UserError if its settings do not work."""


class ByCriterion(Judge):
    """By :mod:`mu.methods.stopping`: retain, forget and validation samples, and nothing else.

    A trial is an unlearning of which no test image is looked at, and no oracle; its network is not
    kept.
    """

    kind = "criterion"
    columns: ClassVar[Mapping[str, str]] = {EXCESS: "excess", DROP: "drop", "RTE": "RTE"}
    words = "the criterion that all methods stop by"

    def __init__(
        self,
        store: Store,
        problem: UnlearningProblem,
        parent: str,
        seed: int,
        max_accuracy_drop: float,
    ) -> None:
        super().__init__(store, problem, parent)
        run = make_run(problem.device, seed=seed)
        model = run.place(problem.checkpoint.model, problem.dataset.shape)
        self.criterion = StopCriterion(model, problem.split, run, max_accuracy_drop)
        self.notes = run.notes

    def rank(self, metrics: Metrics) -> Rank:
        """See :meth:`Judge.rank`."""
        return self.criterion.rank(Standing(metrics[EXCESS], metrics[DROP]))

    def is_met(self, metrics: Metrics) -> bool:
        """See :meth:`Judge.is_met`."""
        return self.criterion.is_met(Standing(metrics[EXCESS], metrics[DROP]))

    def found(self, task: UnlearnTask) -> Result | None:
        """See :meth:`Judge.found`."""
        key = task.tags()[tags.UNLEARNING]
        wanted, same_rule = {tags.UNLEARNING: key, tags.TRIAL: self.kind}, f"params.rule = '{RULE}'"
        run = next(self.store.find(wanted, same_rule, FINISHED), None)
        return None if run is None else Result(run.info.run_id, dict(run.data.metrics))

    def made(self, task: UnlearnTask, title: str) -> Result:
        """See :meth:`Judge.made`."""
        with tracked(self.store, "tune", title, parent=self.parent) as recorder:
            metrics = self._measured(task, recorder)
            recorder.metrics(metrics)
            recorder.describe(f"**Trial** of `{task.name}`, of run `{self.parent}`.")
        return Result(recorder.run_id, metrics)

    def _measured(self, task: UnlearnTask, recorder: Recorder) -> dict[str, float]:
        recorder.params({"rule": RULE})
        recorder.tags({tags.TRIAL: self.kind})
        checkpoint, _, seconds = forgotten(recorder, task)
        standing = self.criterion.standing(checkpoint.model)
        if not all(map(math.isfinite, standing)):
            raise UserError("the network's outputs are NaN or infinite")
        found = {EXCESS: standing.excess, DROP: standing.drop, "RTE": seconds}
        return {name: rounded(value) for name, value in found.items()}


class ByOracle(Judge):
    """By the gap to the oracle of another forget set: ordinary runs of unlearn on that set."""

    kind = "gap"
    columns: ClassVar[Mapping[str, str]] = {GAP: "gap", "RTE": "RTE"}

    def __init__(self, store: Store, problem: UnlearningProblem, parent: str) -> None:
        super().__init__(store, problem, parent)
        self.words = f"the gap to the oracle of {problem.forget}"
        known = oracle_of(store, "find", lambda: problem)
        self.oracle = known or train_oracle(store, problem, parent, resume=True).run_id

    def rank(self, metrics: Metrics) -> Rank:
        """See :meth:`Judge.rank`."""
        return (metrics[GAP],)

    def is_met(self, metrics: Metrics) -> bool:
        """See :meth:`Judge.is_met`."""
        return metrics[GAP] <= 0

    def found(self, task: UnlearnTask) -> Result | None:
        """See :meth:`Judge.found`."""
        wanted = {tags.UNLEARNING: task.tags()[tags.UNLEARNING], tags.ENTRY: "unlearn"}
        runs = self.store.find({**wanted, tags.ORACLE: self.oracle}, FINISHED)
        return next((_with_gap(run.info.run_id, run.data.metrics) for run in runs), None)

    def made(self, task: UnlearnTask, title: str) -> Result:
        """See :meth:`Judge.made`."""
        task = UnlearnTask(task.problem, task.method, task.seed, self.oracle)
        task = continue_unlearning(self.store, task)
        done = perform(
            self.store,
            title,
            lambda _: task,
            resume=task.resume_run_id,
            parent=self.parent,
            extra=lambda recorder, _: recorder.tags({tags.TRIAL: self.kind}),
        )
        return _with_gap(done.run_id, done.metrics)


def _with_gap(run_id: str, metrics: Mapping[str, Any]) -> Result:
    return Result(run_id, {**metrics, GAP: rounded(metrics["gap"])})
