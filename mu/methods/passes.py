"""Methods that are passes over forget and retain set, each with its loss, in a stated order.

A method says what one epoch consists of. The rest is the same for all: without a scale (``lr``) the
rule of :mod:`mu.methods.stopping` says how far they go. The learning rate begins low and doubles
until the forget set is forgotten, and then falls; an epoch has passes that forget only while the
network is surer of the forget set than is wanted; the best epoch is kept, the original among them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.hyperparameters import LARGEST_RATE, MOST_BATCH, searched, setting
from mu.methods.fine_tuning import FineTuning, default_rate
from mu.methods.presets import Presets
from mu.training.recipe import Training

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.data.forget_split import ForgetSplit
    from mu.methods.steps.passes import Pass, Stage
    from mu.runs import Run
    from mu.training.held import Held
    from mu.training.progress import Checkpointer

DOUBLINGS = 5  # of the learning rate, over half of the epochs
STATISTICS = ("batch", "original")


@dataclass(frozen=True)
class Passes(Presets, FineTuning):
    """Passes over forget and retain set; subclasses say which."""

    # Where the rule's learning rate begins, as a share of what fine-tuning begins with
    gentle: ClassVar[float] = 0.1
    teaches: ClassVar[bool] = False  # whether the original is needed as a teacher

    lr: float | None = searched(
        setting(
            None,
            help="learning rate, in place of the rule, which begins low and raises it",
            above=0,
            high=LARGEST_RATE,
        ),
        1e-4,
        0.3,
    )
    forget_batch_size: int | None = setting(
        None, help="images of the forget set a step (default: batch_size)", low=1, high=MOST_BATCH
    )
    batch_norm: str = setting(
        "batch",
        help="batch: normalises by each batch, and its running statistics go on; original: by the "
        "original's statistics, which stay as they are (no dropout either)",
        choices=STATISTICS,
    )

    @property
    def repairs(self) -> bool:
        """Whether passes over the retain set make good what an epoch did too much.

        If not, such an epoch is taken back by the rule, and the next one goes half as far.
        """
        return True

    @abstractmethod
    def passes(self, stage: Stage) -> Iterable[Pass]:
        """What an epoch consists of; nothing ends the training."""

    def planned(self, epoch: int) -> bool:
        """Whether an epoch is to forget where the rule is not in force."""
        return True

    def held(self, checkpoint: Checkpoint, stage: Stage) -> Held | None:
        """Weights that are not to move freely, found on the original."""
        return None

    def edit(self, checkpoint: Checkpoint, stage: Stage) -> None:
        """Change the original's weights before the first epoch."""

    def around(self, checkpoint: Checkpoint, stage: Stage) -> AbstractContextManager[None]:
        """What the training happens in: for a change of the network that is undone after it."""
        return nullcontext()

    def training(self, original: Training) -> Training:
        """See :meth:`FineTuning.training`; by the rule it begins more gently."""
        chosen = super().training(original)
        gentle = self.gentle * default_rate(chosen.optimizer, original)
        return chosen if self.lr else chosen.replace(lr=gentle)

    def unlearn(
        self,
        checkpoint: Checkpoint,
        split: ForgetSplit,
        run: Run,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        """See :meth:`Method.unlearn`."""
        from mu.methods.steps.best import Careful, Ramp, train_by_rule
        from mu.methods.steps.passes import Stage, train_in_passes

        criterion = self.criterion(run.place(checkpoint.model), split, run)
        training = self.training(checkpoint.spec.recipe.training)
        ramp = (Ramp if self.repairs else Careful)(training, run, DOUBLINGS)
        size = self.forget_batch_size or training.batch_size
        stage = Stage(checkpoint, split, run, size, teaches=self.teaches)

        def passes(epoch: int) -> list[Pass]:
            if epoch == 0:
                self.edit(checkpoint, stage)
            forgets = self.planned(epoch) if criterion is None else ramp.forgets
            return [*self.passes(stage.at(epoch, forgets=forgets))]

        with self.around(checkpoint, stage):
            train_by_rule(
                criterion,
                checkpoint,
                passes,
                training,
                run,
                checkpointer,
                by=train_in_passes,
                held=self.held(checkpoint, stage),
                factor=None if criterion is None else ramp.level,
                frozen=self.batch_norm == "original",
                takes_back=not self.repairs,
                label=self.name,
            )
