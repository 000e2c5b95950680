"""What an unlearning method is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from mu.checkpoints import Checkpoint
from mu.data.forget import ForgetSplit
from mu.hyperparameters import Hyperparameters
from mu.runs import Run


@dataclass(frozen=True)
class Method(Hyperparameters, ABC):
    """A way of making a model forget; its fields are its hyperparameters."""

    def in_force(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """The hyperparameters as they take effect on ``checkpoint``: what a run records."""
        return self.as_dict()

    @abstractmethod
    def unlearn(self, checkpoint: Checkpoint, split: ForgetSplit, run: Run) -> None:
        """Edit ``checkpoint`` in place so that it forgets ``split.forget``.

        The model's weights change; the mask only where a method is said to find a new one.
        Pruned weights are exactly zero afterwards. What happens depends on the arguments and
        on ``run.seed`` alone.
        """
