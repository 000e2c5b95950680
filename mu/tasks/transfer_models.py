"""What a transfer compares: an original, its unlearned network and the oracle, made or found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mu import tags
from mu.checkpoints import Spec
from mu.cli.requests import DeviceOptions, Request, TransferOptions
from mu.data import COPIES
from mu.data.forget_request import ForgetRequest
from mu.errors import UserError
from mu.methods import check_method
from mu.report import console
from mu.report.alarms import Alarm, alarms_of, of_original
from mu.run_record import RunRecord
from mu.tasks.listed import forget_split
from mu.tasks.outputs import links
from mu.tasks.perform import train_oracle
from mu.tasks.problem import TrackedModel, UnlearningProblem
from mu.tasks.resolve import (
    fetch_original,
    oracle_of,
    problem_of,
    refuse_contradictions,
    stage_of,
    tracked_model,
    unlearn_run,
)
from mu.tasks.unlearn import make_plan, run_plan
from mu.tracking import Store, connect


@dataclass(frozen=True)
class Models:
    """The networks whose transfer is compared."""

    method: str
    forget: str  # as it was requested
    forget_tag: str  # fingerprint of the forget set
    original: TrackedModel
    unlearned: TrackedModel
    oracle: TrackedModel | None
    alarms: Sequence[Alarm] = ()  # about the unlearning

    def by_role(self) -> dict[str, TrackedModel]:
        """All of them by role: ``original``, the name of the method, ``oracle``."""
        found = {"original": self.original, self.method: self.unlearned}
        return found | ({"oracle (retrain)": self.oracle} if self.oracle else {})

    def links(self) -> dict[str, str]:
        """Run IDs by role."""
        oracle = self.oracle.run_id if self.oracle else None
        return links(self.original.run_id, self.unlearned.run_id, oracle)


@dataclass(frozen=True)
class Source:
    """Where the networks come from; everything is checked before a run is opened."""

    store: Store
    method_name: str
    spec: Spec  # of the original
    shape: tuple[int, int, int] | None  # of its images, where they are read: (channels, h, w)
    models: Callable[[str], Models]  # what is still to be made is shown below the run of that ID


def make_source(options: TransferOptions, request: Request, device: DeviceOptions) -> Source:
    """The unlearning that was requested, checked as far as it can be."""
    if options.unlearn_run_id != "none":
        return _finished(options, request, device)
    plan = make_plan(options, request, device)

    def models(parent: str) -> Models:
        done = run_plan(plan, parent)
        console.print_notes(done.run.notes)
        problem = done.task.problem
        return Models(
            done.task.name,
            problem.forget,
            problem.tags()[tags.FORGET],
            TrackedModel(problem.run_id, problem.checkpoint, of_original(done.metrics)),
            TrackedModel(done.run_id, done.checkpoint, done.metrics),
            done.oracle,
            done.alarms,
        )

    return Source(plan.store, plan.method.name, plan.original.spec(), plan.dataset.shape, models)


def _finished(options: TransferOptions, request: Request, device: DeviceOptions) -> Source:
    """A finished unlearn run, with the oracle that was requested."""
    store = connect()
    run = unlearn_run(store, options.unlearn_run_id)
    original_id = run.upstream_run_id or ""
    checkpoint = fetch_original(store, original_id, request.original)
    original = TrackedModel(original_id, checkpoint, of_original(run.metrics))

    @lru_cache(1)  # only where its data is needed
    def problem() -> UnlearningProblem:
        return problem_of(store, run, device, request.original.get("data_dir"))

    _refuse_contradictions(store, run, original, request)
    _refuse_other_forget_set(run, request.entry.get("forget"), problem)
    wanted = "none" if run.method == "retrain" else options.oracle_run_id  # an oracle itself
    oracle_id = oracle_of(
        store, "find" if wanted == "train" else wanted, problem, run.oracle_run_id, run.run_id
    )

    def models(parent: str) -> Models:
        oracle = tracked_model(store, oracle_id) if oracle_id else None
        if wanted == "train" and oracle is None:
            oracle = train_oracle(store, problem(), parent)
        return Models(
            run.method,
            run.forget_request,
            run.forget_fingerprint or "",
            original,
            tracked_model(store, run.run_id),
            oracle,
            alarms_of(run, oracle.metrics if oracle else {}),
        )

    return Source(store, run.method, checkpoint.spec, None, models)


def _refuse_contradictions(
    store: Store, run: RunRecord, original: TrackedModel, request: Request
) -> None:
    """Refuse what was requested where the run was made otherwise."""
    made = {
        **run.make_method().in_force(original.checkpoint),
        "method": run.method,
        "stage": run.params.get("stage"),
        "prune_run_id": original.run_id,
    }
    given = {n: request.entry.get(n) for n in ("method", "stage", "prune_run_id")}
    wanted = {name: value for name, value in given.items() if value not in (None, "auto")}
    if "method" in wanted:
        wanted["method"] = check_method(wanted["method"])
    if "prune_run_id" in wanted:
        wanted["prune_run_id"] = stage_of(store, wanted["prune_run_id"], wanted.pop("stage", None))
    refuse_contradictions(run.run_id, made, {**wanted, **request.method})


def _refuse_other_forget_set(
    run: RunRecord, given: str | None, problem: Callable[[], UnlearningProblem]
) -> None:
    """Refuse another forget set; the same one may be spelt in another way."""
    kept = run.params.get("forget")
    if given is None or given == kept:
        return
    duplicates = run.params.get("duplicates", COPIES[0])
    request = ForgetRequest.parse(given, duplicates=duplicates)
    split = forget_split(connect, problem().spec, problem().dataset, request)
    if not np.array_equal(split.forget, problem().split.forget):
        raise UserError(
            f"forget={given} contradicts run {run.run_id}, which has forget={kept}; "
            "leave forget out, or name another run"
        )
