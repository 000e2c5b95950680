"""What an attack with reference models is made on: the unlearn run, its original, its oracle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from entrypoints.lira import LiraOptions
from entrypoints.unlearn_job import Upstream
from entrypoints.unlearned import method_of, oracle_of, unlearn_run, upstream_of
from mu.checkpoints import Checkpoint
from mu.cli.originals import DeviceOptions
from mu.data.forget import ForgetSplit
from mu.evaluation.challenge import Challenge
from mu.methods.base import Method, unlearn
from mu.runs import Run
from mu.tracking import (
    Store,
    fetch_checkpoint,
)

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun


@dataclass(frozen=True)
class Job:
    """One attack that is to be done.

    Parameters
    ----------
    run_id, name, method
        The unlearn run under attack, and how it unlearned.
    upstream
        Its original, and what was forgotten of it.
    models
        What is judged, by label: ``original``, ``unlearned`` and, where there is one, ``oracle``.
    oracle_run_id
        None where there is none.
    resume
        The interrupted run to go on with.
    """

    options: LiraOptions
    run_id: str
    name: str
    method: Method
    upstream: Upstream
    models: Mapping[str, Checkpoint]
    oracle_run_id: str | None
    challenge: Challenge
    resume: MlflowRun | None = None

    @property
    def unlearns(self) -> bool:
        """Whether there is a method to watch; an oracle was trained anew."""
        return self.name != "retrain"

    def forget(self, checkpoint: Checkpoint, split: ForgetSplit, run: Run) -> None:
        """Unlearn as the run under attack did."""
        unlearn(self.method, checkpoint, split, run)

    def as_dict(self) -> dict[str, Any]:
        """What is kept while the run lasts, so that the job can be done again; JSON-ready."""
        return {
            "unlearn_run_id": self.run_id,
            "references": self.options.references,
            "gamma": self.options.gamma,
            "seed": self.options.seed,
            "oracle_run_id": self.oracle_run_id or "none",
            "precision": self.upstream.device.precision,
            "data_dir": self.upstream.dataset.data_dir,
        }

    def params(self) -> dict[str, Any]:
        """What the run records."""
        recipe = self.upstream.checkpoint.spec.recipe
        return {
            **{n: v for n, v in self.as_dict().items() if n not in ("precision", "data_dir")},
            "method": self.name,
            "forget": self.upstream.forget,
            "prune_run_id": self.upstream.run_id,
            "dataset": self.upstream.dataset.name,
            "arch": recipe.model.arch,
            "prune_rate": recipe.pruning["rate"],
        }

    def links(self) -> dict[str, str]:
        """Run IDs by role."""
        links = {"original": self.upstream.run_id, "unlearned": self.run_id}
        return links | ({"oracle": self.oracle_run_id} if self.oracle_run_id else {})

    def sizes(self) -> dict[str, int]:
        """How much of each there is."""
        return {
            "references": self.options.references,
            "members": len(self.challenge.members),
            "non_members": len(self.challenge.non_members),
            "population": len(self.challenge.population),
        }


def make_job(
    store: Store, options: LiraOptions, device: DeviceOptions, resume: MlflowRun | None = None
) -> Job:
    """Everything that the attack needs, checked before a run is opened.

    Raises
    ------
    UserError
        If the run is no unlearn run, something that it handed on is missing or does not fit, or
        it forgot too little to attack.
    """
    run = unlearn_run(store, options.unlearn_run_id)
    run_id = run.info.run_id
    name, method = method_of(store, run)
    upstream = upstream_of(store, run, device, options.data_dir)
    linked = run.data.tags.get("mu.oracle")
    oracle = None
    if name != "retrain":
        oracle = oracle_of(store, options.oracle_run_id, upstream, linked)
    models = {"original": upstream.checkpoint, "unlearned": fetch_checkpoint(store, run_id)}
    if oracle is not None:
        models["oracle"] = fetch_checkpoint(store, oracle)
    challenge = Challenge.of(upstream.split, options.seed)
    return Job(options, run_id, name, method, upstream, models, oracle, challenge, resume)
