"""Steps on a second set among those on the first, and slow weights that follow the fast ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mu.training.objective import Second
from mu.training.slow import Slow

Edit = Callable[[nn.Module], None]


class Turns(NamedTuple):
    """How a second set takes its turn, in place of being part of each step."""

    # Before the first of so many steps on the first set comes one on the second, by the same
    # optimiser.
    every: int
    edit: Edit | None = None  # changes the gradients of that step
    # In (0, 1]: after so many steps, and after an epoch, the weights go back to where they were
    # before them, but for this share of the way. 1 leaves them where they are.
    follow: float = 1.0


class Turning:
    """The second set in one epoch.

    ``turns``: None where each step has a batch of it. ``step``: takes a step on a batch of the
    second set at a moment, with edited gradients. ``seconds``: the batches of the second set, or
    None again and again where there is none.
    """

    def __init__(
        self,
        turns: Turns | None,
        model: nn.Module,
        step: Callable[[Second, float, Edit | None], None],
        seconds: Iterator[Second | None],
    ) -> None:
        self._turns, self._step, self._seconds = turns, step, seconds
        self._slow = Slow(model.parameters() if turns is not None and turns.follow < 1 else ())

    def second(self, number: int, moment: float) -> Second | None:
        """The second batch of step ``number`` of the epoch; a turn that is due is taken first."""
        if self._turns is None:
            return next(self._seconds)
        if number % self._turns.every == 0:
            self.follow()
            batch = next(self._seconds)
            assert batch is not None
            self._step(batch, moment, self._turns.edit)
        return None

    def follow(self) -> None:
        """Let the slow weights follow the fast ones."""
        if self._turns is not None:
            self._slow.follow(self._turns.follow)


def clipped(gradients: list[Tensor], norm: float) -> None:
    """Scale gradients, in place, so that together they are at most so long."""
    if gradients:
        length = torch.stack([one.norm() for one in gradients]).norm()
        factor = norm / length.clamp(min=norm)
        for one in gradients:
            one.mul_(factor)
