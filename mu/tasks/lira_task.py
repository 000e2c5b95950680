"""One attack with reference models, as it is to be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mu.checkpoints import Checkpoint
from mu.cli.requests import LiraOptions
from mu.evaluation.challenge import Challenge
from mu.methods.base import Method
from mu.run_record import RunRecord
from mu.tasks.outputs import links
from mu.tasks.problem import UnlearningProblem, rounding

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun


@dataclass(frozen=True)
class LiraTask:
    """One attack that is to be done."""

    options: LiraOptions
    run: RunRecord  # under attack
    method: Method | None  # of references; None of an oracle: there is nothing to observe
    problem: UnlearningProblem
    models: Mapping[str, Checkpoint]  # original, unlearned and, where there is one, oracle
    oracle_run_id: str | None
    challenge: Challenge
    resume: MlflowRun | None = None  # the interrupted run that is continued

    def document(self) -> dict[str, Any]:
        """What is kept while the run lasts, so that the task can be resumed; JSON-ready."""
        return {
            **self._options(),
            **rounding(self.problem.device),
            "data_dir": self.problem.dataset.data_dir,
        }

    def _options(self) -> dict[str, Any]:
        return {
            "unlearn_run_id": self.run.run_id,
            "references": self.options.references,
            "gamma": self.options.gamma,
            "retain_sample": len(self.challenge.retained),
            "seed": self.options.seed,
            "oracle_run_id": self.oracle_run_id or "none",
        }

    def config(self) -> dict[str, Any]:
        """What the run records."""
        done = {"method": self.run.method, "forget": self.problem.forget}
        return {**self._options(), **done, **self.problem.config()}

    def links(self) -> dict[str, str]:
        """Run IDs by role."""
        return links(self.problem.run_id, self.run.run_id, self.oracle_run_id)

    def sizes(self) -> dict[str, int]:
        """How much of each there is."""
        return {
            "references": self.options.references,
            "members": len(self.challenge.members),
            "non_members": len(self.challenge.non_members),
            "population": len(self.challenge.population),
            "retained": len(self.challenge.retained),
        }
