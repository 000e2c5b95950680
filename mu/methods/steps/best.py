"""Training by the rule of :mod:`mu.methods.stopping`: it ends with its best epoch."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer

from mu.methods.steps.criterion import ALREADY, Standing, StopCriterion
from mu.training.loop import AfterEpoch, DivergedError
from mu.training.resumable import Bookmark, train_resumably
from mu.training.schedules import learning_rate_factor

if TYPE_CHECKING:
    from torch import nn

    from mu.checkpoints import Checkpoint
    from mu.runs import Run
    from mu.training.progress import Checkpointer
    from mu.training.recipe import Training


def train_by_rule(
    criterion: StopCriterion | None,
    checkpoint: Checkpoint,
    data: Any,
    training: Training,
    run: Run,
    checkpointer: Checkpointer | None,
    *,
    after_epoch: AfterEpoch | None = None,
    **settings: Any,
) -> None:
    """Train the network, and end with the epoch that the criterion ranks first.

    The original is one of them: a training that only makes things worse leaves it as it was. An
    interrupted one goes on from its last epoch and ends with the same weights.

    Parameters
    ----------
    criterion
        None where it is given how far to go: then the last epoch is the end.
    data, after_epoch, settings
        As in :meth:`mu.training.resumable.Bookmark.train`; and ``takes_back``: whether an epoch
        that went too far is taken back, and the next one goes on from the best, with a fresh
        optimiser.
    """
    model, mask = checkpoint.model, checkpoint.mask
    takes_back = settings.pop("takes_back", False)
    if criterion is None:
        settings |= {"mask": mask, "checkpointer": checkpointer, "after_epoch": after_epoch}
        train_resumably(model, data, training, run, **settings)
        return
    bookmark = Bookmark(run, checkpointer)
    best = _Best(criterion, model, run, bookmark)
    if bookmark.before is None and best.standing.excess <= criterion.chance:
        run.note(ALREADY)
        return

    def judge(epoch: int, optimizer: Optimizer) -> None:
        if after_epoch is not None:
            after_epoch(epoch, optimizer)
        best.see(epoch)
        if takes_back and best.take_back(epoch):
            optimizer.state.clear()

    try:
        bookmark.train(
            model,
            data,
            training,
            mask,
            after_epoch=judge,
            rewind=lambda: best.weights,
            **settings,
        )
    except DivergedError as error:
        run.note(f"the training ended early: {error}")
    best.take(training.epochs)


class _Best:
    """The best epoch so far, and how it stood; at first the original."""

    def __init__(
        self, criterion: StopCriterion, model: nn.Module, run: Run, bookmark: Bookmark
    ) -> None:
        self.criterion, self.model, self.run, self.epochs = criterion, model, run, 0
        if bookmark.before is None:
            self.standing = self.last = criterion.standing(model)
            self.weights = copy.deepcopy(model.state_dict())
            run.log("excess_before", self.standing.excess)
            return
        bookmark.go_on(model, bookmark.before)
        self.weights = dict(bookmark.before.rewind)
        self.standing = self.last = Standing(run.metrics["excess_before"], 0.0)
        drops = dict(run.history("retain_drop"))
        for epoch, excess in run.history("excess"):
            self._compare(Standing(excess, drops[epoch]), epoch)

    def see(self, epoch: int) -> None:
        """Judge the epoch that is over; its weights are kept if none was better."""
        found = self.criterion.standing(self.model)
        if not math.isfinite(found.excess) or not math.isfinite(found.drop):
            raise DivergedError(f"outputs were NaN or infinite after epoch {epoch + 1}")
        self.run.log_all({"excess": found.excess, "retain_drop": found.drop}, epoch)
        self.last = found
        if self._compare(found, epoch):
            self.weights = copy.deepcopy(self.model.state_dict())

    def take_back(self, epoch: int) -> bool:
        """Whether the epoch that was seen went too far; then the network is the best again."""
        too_far = self.last.overshot or not self.criterion.affords(self.last)
        goes = too_far and self.epochs != epoch + 1
        if goes:
            self.model.load_state_dict(self.weights)
        self.run.log("kept", float(not goes), epoch)
        return goes

    def _compare(self, found: Standing, epoch: int) -> bool:
        """Whether an epoch is as good as the best before; then it is the best."""
        if self.criterion.rank(found) > self.criterion.rank(self.standing):
            return False
        self.standing, self.epochs = found, epoch + 1
        return True

    def take(self, of: int) -> None:
        """Put the best weights into the network; ``of`` so many epochs."""
        self.model.load_state_dict(self.weights)
        self.run.log("excess", self.standing.excess, of)  # after all epochs: it is what counts
        self.run.log("best_epoch", self.epochs)
        if not self.standing.is_forgotten:
            further = "more epochs, or a larger max_accuracy_drop, go further"
            if self.last.overshot:
                further = f"the last one is {-self.last.excess:.1f} points less sure than is wanted"
            self.run.note(
                f"the best of {of} epochs, {self.epochs}, leaves the network "
                f"{self.standing.excess:.1f} points surer of the forget set than of unseen "
                f"images; {further}"
            )


class Ramp:
    """How strong a training is: as much as it takes to forget the forget set, then less.

    Up to half of the epochs, or until an epoch left the forget set forgotten, it holds, or rises
    by ``doublings`` in all. Then it goes back by one epoch's rise, and falls as the schedule of the
    learning rate says, so that the retain set is learnt back. It follows from what was logged of
    the epochs before, so an interrupted training goes on as it would have.
    """

    def __init__(self, training: Training, run: Run, doublings: float = 0.0) -> None:
        self.epochs, self.schedule, self.run = training.epochs, training.schedule, run
        self.doublings = doublings

    def level(self, epoch: int) -> float:
        """How strong an epoch is; the first one is 1."""
        turn = self._turn(epoch)
        risen = epoch if epoch < turn else turn - 2
        return float(2.0 ** (self.doublings * 2 * risen / self.epochs)) * self.fall(epoch)

    def fall(self, epoch: int) -> float:
        """What is left of the level at the turn: 1 before it."""
        turn = self._turn(epoch)
        if epoch < turn:
            return 1.0
        return learning_rate_factor(self.schedule, epoch - turn + 1, self.epochs - turn + 1)

    @property
    def longest(self) -> int:
        """Epochs before the turn, where the forget set is not forgotten."""
        return math.ceil(self.epochs / 2)

    @property
    def forgets(self) -> bool:
        """Whether the network was surer of the forget set than is wanted after the last epoch."""
        excesses = self.run.history("excess")
        return not excesses or excesses[-1][1] > 0

    def _turn(self, epoch: int) -> int:
        """The first epoch of the fall, as far as is known in ``epoch``; at least 1."""
        forgotten = [past for past, excess in self.run.history("excess") if excess <= 0]
        return min(1 + min(forgotten, default=epoch), self.longest)


class Careful(Ramp):
    """How strong a training is that takes back what went too far.

    Twice as much after each epoch, until one left the forget set forgotten or was taken back; half
    as much after each that was taken back.
    """

    def level(self, epoch: int) -> float:
        """See :meth:`Ramp.level`."""
        kept = [bool(one) for _, one in self.run.history("kept")]
        over = [excess <= 0 for _, excess in self.run.history("excess")]
        ends = [left or not one for left, one in zip(over, kept, strict=True)]
        grown = ends.index(True) if any(ends) else epoch
        return float(2.0 ** (grown - kept.count(False)))

    @property
    def forgets(self) -> bool:
        """See :meth:`Ramp.forgets`; of the last epoch that was kept."""
        kept = {epoch for epoch, one in self.run.history("kept") if one}
        excesses = [one for epoch, one in self.run.history("excess") if epoch in kept]
        return not excesses or excesses[-1] > 0
