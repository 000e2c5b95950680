"""What a transfer compares: an original, its unlearned network and the oracle, made or found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mu import tags
from mu.checkpoints import Checkpoint, Spec
from mu.cli.requests import DeviceOptions, Request, TransferOptions
from mu.data.forget import ForgetRequest
from mu.errors import UserError
from mu.methods import check_method
from mu.methods.base import Method
from mu.report import console
from mu.run_record import RunRecord
from mu.tasks.perform import train_oracle
from mu.tasks.problem import TrackedModel, UnlearningProblem
from mu.tasks.resolve import (
    fetch_original,
    forget_split,
    oracle_of,
    problem_of,
    refuse_contradictions,
    stage_of,
    unlearn_run,
)
from mu.tasks.unlearn import UnlearnPlan, make_plan, run_plan
from mu.tracking import Store, connect, fetch_checkpoint, finished_run

BEFORE = "_before"


@dataclass(frozen=True)
class Models:
    """The networks whose transfer is compared.

    Parameters
    ----------
    method, forget
        How the original was unlearned, and what.
    forget_tag
        Fingerprint of the forget set.
    """

    method: str
    forget: str
    forget_tag: str
    original: TrackedModel
    unlearned: TrackedModel
    oracle: TrackedModel | None

    def by_role(self) -> dict[str, TrackedModel]:
        """All of them by role: ``original``, the name of the method, ``oracle``."""
        found = {"original": self.original, self.method: self.unlearned}
        return found | ({"oracle (retrain)": self.oracle} if self.oracle else {})

    def links(self) -> dict[str, str]:
        """Run IDs by role."""
        links = {"original": self.original.run_id, "unlearned": self.unlearned.run_id}
        return links | ({"oracle": self.oracle.run_id} if self.oracle else {})


@dataclass(frozen=True)
class Source:
    """Where the networks come from; everything is checked before a run is opened.

    Parameters
    ----------
    method_name, spec
        How the original is unlearned, and what it is.
    shape
        (channels, height, width) of its images; None where they are not read, since a finished run
        does not need them.
    models
        Gives the networks; what is still to be made is shown below the run of that ID.
    """

    store: Store
    method_name: str
    spec: Spec
    shape: tuple[int, int, int] | None
    models: Callable[[str], Models]


def make_source(options: TransferOptions, request: Request, device: DeviceOptions) -> Source:
    """The unlearning that was requested, checked as far as it can be.

    Raises
    ------
    UserError
        If something does not fit.
    """
    if options.unlearn_run_id == "none":
        plan = make_plan(options, options.seed, request, device)

        def unlearn_now(parent: str) -> Models:
            return _unlearned_now(plan, parent)

        return Source(plan.store, plan.name, plan.spec, plan.dataset.shape, unlearn_now)
    found = _Finished.of(connect(), options, request, device)
    return Source(found.store, found.method_name, found.original.spec, None, found.models)


def of_original(metrics: Mapping[str, float]) -> dict[str, float]:
    """The original's numbers among those of a run that unlearned it."""
    return {n.removesuffix(BEFORE): v for n, v in metrics.items() if n.endswith(BEFORE)}


# --- to be done ---------------------------------------------------------------------------


def _unlearned_now(plan: UnlearnPlan, parent: str) -> Models:
    """The networks of an unlearning that is done now, in a run below ``parent``."""
    done = run_plan(plan, parent)
    console.print_notes(done.result.run.notes)
    oracle = None
    if done.oracle is not None:
        theirs = fetch_checkpoint(plan.store, done.oracle.run_id)
        oracle = TrackedModel(done.oracle.run_id, theirs, done.oracle.metrics)
    problem, metrics = done.task.problem, done.result.metrics
    return Models(
        done.task.name,
        problem.forget,
        problem.tags()[tags.FORGET],
        TrackedModel(problem.run_id, problem.checkpoint, of_original(metrics)),
        TrackedModel(done.run_id, done.result.checkpoint, metrics),
        oracle,
    )


# --- done before --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Finished:
    """A finished unlearn run.

    Parameters
    ----------
    original_id, original
        What it started from.
    oracle_run_id
        What it is compared with, as requested.
    """

    store: Store
    run: RunRecord
    method_name: str
    method: Method
    original_id: str
    original: Checkpoint
    device: DeviceOptions
    data_dir: str | None
    oracle_run_id: str

    @classmethod
    def of(
        cls, store: Store, options: TransferOptions, request: Request, device: DeviceOptions
    ) -> _Finished:
        """The run that was requested, with the oracle that was requested.

        Raises
        ------
        UserError
            If it is no finished unlearn run, it was made otherwise than requested, or the run
            given is not its oracle.
        """
        run = unlearn_run(store, options.unlearn_run_id)
        method = run.make_method()
        name = run.method
        original_id = run.upstream_run_id or ""
        original = fetch_original(store, original_id, request.original)
        data_dir, oracle = request.original.get("data_dir"), options.oracle_run_id
        found = cls(store, run, name, method, original_id, original, device, data_dir, oracle)
        found._refuse_contradictions(request)
        found._oracle_id  # noqa: B018  # refuses a run that is no oracle of it
        return found

    @cached_property
    def problem(self) -> UnlearningProblem:
        """The original with its data and its forget set; only where these are needed."""
        return problem_of(self.store, self.run, self.device, self.data_dir)

    @cached_property
    def _oracle_id(self) -> str | None:
        """The run of the oracle; that of the unlearn run itself is taken without its data."""
        requested = "find" if self.oracle_run_id == "train" else self.oracle_run_id
        linked = self.run.oracle_run_id
        if requested == "none" or self.method_name == "retrain":  # it is an oracle itself
            return None
        if requested in ("find", linked) and linked is not None:
            try:
                return str(finished_run(self.store, linked).info.run_id)
            except UserError:  # it was deleted since
                pass
        return oracle_of(self.store, requested, self.problem, but=self.run.run_id)

    def models(self, parent: str) -> Models:
        """The networks; an oracle that is still to be trained is shown below ``parent``."""
        store, oracle_id = self.store, self._oracle_id
        wants = self.oracle_run_id == "train" and self.method_name != "retrain"
        if wants and oracle_id is None:
            oracle_id = train_oracle(store, self.problem, parent).run_id
        oracle = None
        if oracle_id is not None:
            metrics = finished_run(store, oracle_id).data.metrics
            oracle = TrackedModel(oracle_id, fetch_checkpoint(store, oracle_id), metrics)
        run_id = self.run.run_id
        return Models(
            self.method_name,
            self.run.forget_request,
            self.run.forget_fingerprint or "",
            TrackedModel(self.original_id, self.original, of_original(self.run.metrics)),
            TrackedModel(run_id, fetch_checkpoint(store, run_id), self.run.metrics),
            oracle,
        )

    def _refuse_contradictions(self, request: Request) -> None:
        """Refuse what was requested where the run was made otherwise.

        Raises
        ------
        UserError
            If there is such a thing.
        """
        run_id, given = self.run.run_id, request.entry
        made = {
            **self.method.in_force(self.original),
            "method": self.method_name,
            "stage": self.run.params.get("stage"),
            "prune_run_id": self.original_id,
        }
        wanted = {n: given[n] for n in ("method", "stage", "prune_run_id") if given.get(n)}
        if "method" in wanted:
            wanted["method"] = check_method(wanted["method"])
        if wanted.get("prune_run_id") == "auto":
            del wanted["prune_run_id"]
        if "prune_run_id" in wanted:
            stage = wanted.pop("stage", None)
            wanted["prune_run_id"] = stage_of(self.store, wanted["prune_run_id"], stage)
        refuse_contradictions(run_id, made, {**wanted, **request.method})
        self._refuse_other_forget_set(given.get("forget"))

    def _refuse_other_forget_set(self, given: str | None) -> None:
        """Refuse another forget set; the same one may be spelt in another way."""
        kept = self.run.params.get("forget")
        if given is None or given == kept:
            return
        problem = self.problem
        split = forget_split(problem.spec, problem.dataset, ForgetRequest.parse(given))
        if not np.array_equal(split.forget, problem.split.forget):
            raise UserError(
                f"forget={given} contradicts run {self.run.run_id}, which has forget={kept}; "
                "leave forget out, or name another run"
            )
