"""Slow weights, which go a share of the way to the fast ones that training moves.

References
----------
Zhang, Lucas, Hinton & Ba (2019), Lookahead Optimizer: k steps forward, 1 step back, NeurIPS.
Jordan (2024), 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, arXiv:2404.00498.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mu.training.recipe import Training

KEPT = 0.95  # by a step, of the slow weights, at the end of the training


class Slow:
    """Slow weights, which begin where the ``fast`` ones are."""

    def __init__(self, fast: Iterable[Tensor]) -> None:
        self._fast = [*fast]
        self._slow = [one.detach().clone() for one in self._fast]

    @torch.no_grad()
    def follow(self, share: float) -> None:
        """Go this share of the way to the fast weights, which go on from there."""
        for slow, fast in zip(self._slow, self._fast, strict=True):
            fast.copy_(slow.lerp_(fast, share))


class Lookahead:
    """Slow weights in one epoch of a training: after every k steps, and after the epoch.

    They stay where they are by 0.95^k (time)^3, time being the share of the training that is over.
    The running statistics of normalisation are slow, too. Epochs begin anew, so that nothing but
    the weights leads from one to the next.
    """

    def __init__(self, model: nn.Module, training: Training) -> None:
        self._every, self._epochs = training.lookahead, training.epochs
        moved = model.state_dict().values() if self._every else ()
        self._slow = Slow(one for one in moved if one.is_floating_point())

    def step(self, epoch: int, done: int, of: int) -> None:
        """After a step: so many of the epoch's are done."""
        if not self._every:
            return
        steps = (done - 1) % self._every + 1  # since the weights were slow last
        if steps == self._every or done == of:
            time = (epoch + done / of) / self._epochs
            self._slow.follow(1 - KEPT**steps * time**3)
