"""Relearning in a tenth of the steps: it takes half of the time of an unlearn run."""

from __future__ import annotations

from collections.abc import Callable

from mu.checkpoints import Checkpoint
from mu.evaluation.depth.relearn import MOST_STEPS, RATES, Relearning


def relearn_soon() -> Callable[[], None]:
    """Networks relearn at ten times the rate, and give up after 20 steps; gives what ends that."""
    quickest = Relearning.quickest

    def soon(
        self: Relearning, checkpoint: Checkpoint, lr: float = RATES[0], most: int = MOST_STEPS
    ) -> int | None:
        return quickest(self, checkpoint, 10 * lr, min(most, MOST_STEPS // 10))

    Relearning.quickest = soon  # type: ignore[method-assign]
    return lambda: setattr(Relearning, "quickest", quickest)
