"""Relearning in a tenth of the steps: it takes half of the time of an unlearn run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mu.checkpoints import Checkpoint
from mu.evaluation.depth.relearn import MOST_STEPS, RATES, Relearning

Count = Callable[[Relearning, Checkpoint, float, int], int | None]


def relearn_soon() -> Callable[[], None]:
    """Networks relearn at ten times the rate, and give up after 20 steps; gives what ends that."""
    patch = pytest.MonkeyPatch()
    for name in ("quickest", "steps"):
        patch.setattr(Relearning, name, _soon(getattr(Relearning, name)))
    return patch.undo


def _soon(count: Count) -> Count:
    def soon(
        self: Relearning, checkpoint: Checkpoint, lr: float = RATES[0], most: int = MOST_STEPS
    ) -> int | None:
        return count(self, checkpoint, 10 * lr, min(most, MOST_STEPS // 10))

    return soon
