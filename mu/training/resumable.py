"""Trainings that go on after an interruption: what is kept after an epoch, and put back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from mu.errors import UserError
from mu.masks import Mask
from mu.runs import Run
from mu.training.loop import AfterEpoch, train
from mu.training.optimizers import optimizer_state
from mu.training.progress import Checkpointer, Progress
from mu.training.recipe import Training


class Bookmark:
    """Where a training stands: put after each epoch, and gone on from after an interruption.

    ``run``: its numbers, notes and costs are kept, and taken over. The clock starts here.
    ``checkpointer``: None where nothing is to be kept. ``before``: what to go on from, or None at a
    first beginning.
    """

    def __init__(self, run: Run, checkpointer: Checkpointer | None) -> None:
        self.run, self.checkpointer = run, checkpointer
        self.started = run.clock()
        self.before = None if checkpointer is None else checkpointer.last()

    def put(
        self,
        model: nn.Module,
        mask: Mask,
        optimizer: Optimizer | None,
        epoch: int,
        *,
        round: int = 0,
        rewind: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Keep everything as it is, ``epoch`` epochs of the schedule being behind.

        Without an optimiser where that has no state. Of several ranks the first one does it. The
        time that it takes is no part of the training's.
        """
        if self.checkpointer is None or self.run.ranks.rank:
            return
        with self.run.untimed():
            self.checkpointer.save(
                Progress(
                    round=round,
                    epoch=epoch,
                    weights=model.state_dict(),
                    optimizer=optimizer_state(optimizer, model) if optimizer else {},
                    rewind=rewind or {},
                    mask=mask,
                    records=list(self.run.records),
                    notes=list(self.run.notes),
                    samples_seen=self.run.samples_seen,
                    seconds=self.run.seconds_before + self.run.clock() - self.started,
                )
            )

    def go_on(self, model: nn.Module, before: Progress) -> None:
        """Put weights and run back to where they stood.

        UserError if the progress does not fit the network.
        """
        try:
            model.load_state_dict(before.weights)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"the progress does not fit the network: {reason}; start it anew"
            ) from error
        self.run.go_on(before.records, before.notes, before.samples_seen, before.seconds)

    def train(
        self,
        model: nn.Module,
        data: Any,
        training: Training,
        mask: Mask,
        *,
        after_epoch: AfterEpoch | None = None,
        rewind: Callable[[], Mapping[str, Tensor]] = dict,
        by: Callable[..., None] = train,
        **settings: Any,
    ) -> None:
        """:func:`mu.training.loop.train` from where it stands, put after each epoch.

        ``after_epoch``: as in the loop; what it logs is kept too. ``rewind``: gives the weights to
        keep beside those of the network. ``by``: what trains on ``data``, if not the loop on a
        set. ``settings``: more settings of it.
        """
        before = self.before

        def keep(epoch: int, optimizer: Optimizer) -> None:
            if after_epoch is not None:
                after_epoch(epoch, optimizer)
            self.put(model, mask, optimizer, epoch + 1, rewind=rewind())

        by(
            model,
            data,
            training,
            self.run,
            mask=mask,
            start_epoch=before.epoch if before else 0,
            optimizer_state=before.optimizer if before else None,
            after_epoch=keep,
            **settings,
        )


def train_resumably(
    model: nn.Module,
    data: Any,
    training: Training,
    run: Run,
    *,
    mask: Mask,
    checkpointer: Checkpointer | None,
    **settings: Any,
) -> None:
    """A training that is all there is to do: :func:`mu.training.loop.train`, gone on with.

    ``checkpointer``: keeps the progress after each epoch. Where it holds some already, training
    goes on there; where that is of the last epoch, nothing is left to do. ``settings``: more
    settings of the loop.
    """
    bookmark = Bookmark(run, checkpointer)
    if bookmark.before is not None:
        bookmark.go_on(model, bookmark.before)
    bookmark.train(model, data, training, mask, **settings)
