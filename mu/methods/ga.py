"""Gradient ascent: undo the training on the forget set by climbing its loss.

Nothing holds the ascent back: the loss has no upper bound, and the further it goes the steeper it
gets. So it is watched after each epoch. With a learning rate given it is the plain ascent of the
papers, which ends with its epochs, or with the last one whose loss and weights are numbers. Without
one, each epoch moves the weights by the same share of their length, until the forget set is
forgotten (:mod:`mu.methods.stopping`); an epoch that forgot more than that, or cost the retain set
more than it may lose, is taken back, and the next one goes half as far.

References
----------
Graves, Nagisetty & Ganesh (2021), Amnesiac Machine Learning, AAAI; Thudi, Deza, Chandrasekaran &
Papernot (2022), Unrolling SGD, EuroS&P; as compared by Jia et al. (2023).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.hyperparameters import LARGEST_RATE, MOST_BATCH, MOST_EPOCHS, searched, setting
from mu.methods.presets import UNLEARN_SPARSE, Preset, Presets, published
from mu.methods.stopping import BUDGET, Stopping
from mu.training.recipe import AUGMENTATIONS, Training

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.data.forget_split import ForgetSplit
    from mu.runs import Run
    from mu.training.progress import Checkpointer

SMALLEST_SHARE = 1 / 128  # of the first step: below it, ascent has come to its end


@dataclass(frozen=True)
class GradientAscent(Presets, Stopping):
    """Ascent of the cross-entropy on the forget set.

    Batch normalisation keeps the original's statistics: those of the forget set, of a single class
    perhaps, are not those of the data.
    """

    name = "ga"
    aliases = ("GA",)
    scale: ClassVar[tuple[str, ...]] = ("lr",)
    idle: ClassVar[tuple[str, ...]] = ("max_accuracy_drop", "step")
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": published(UNLEARN_SPARSE, epochs=5, lr=1e-4),
    }

    epochs: int = setting(
        30,
        help="passes over the forget set, at the most; by the rule never more images than ten "
        "passes over the retain set have",
        low=1,
        high=MOST_EPOCHS,
    )
    lr: float | None = setting(
        None,
        help="learning rate of plain ascent (default: steps of a fixed length)",
        above=0.0,
        high=LARGEST_RATE,
    )
    step: float = searched(
        setting(
            5e-3,
            help="without lr: how far an epoch moves the weights, in units of their length",
            above=0.0,
            below=1.0,
        ),
        5e-4,
        5e-2,
    )
    batch_size: int | None = setting(
        None, help="images a step (default: the original's)", low=1, high=MOST_BATCH
    )
    augment: str | None = setting(
        None, help="of images (default: the original's)", choices=AUGMENTATIONS
    )

    def in_force(self, checkpoint: Checkpoint) -> dict[str, object]:
        """See :meth:`Method.in_force`."""
        training = self._training(checkpoint.spec.recipe.training, 1)
        used = {"batch_size": training.batch_size, "augment": training.augment}
        return {**self.as_dict(), **used}

    def _training(self, original: Training, samples: int) -> Training:
        from mu.data.batches import batch_count

        batch_size = self.batch_size or original.batch_size
        return Training(
            epochs=self.epochs,
            lr=self.lr or self.step / batch_count(samples, batch_size),
            batch_size=batch_size,
            momentum=0.0,
            weight_decay=0.0,
            schedule="constant",
            augment=self.augment or original.augment,
        )

    def unlearn(
        self,
        checkpoint: Checkpoint,
        split: ForgetSplit,
        run: Run,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        """See :meth:`Method.unlearn`."""
        from mu.methods.steps.ascent import climb
        from mu.methods.steps.criterion import ALREADY
        from mu.training.resumable import Bookmark

        model = run.place(checkpoint.model)
        criterion = self.criterion(model, split, run)
        training = self._training(checkpoint.spec.recipe.training, len(split.forget))
        bookmark = Bookmark(run, checkpointer)
        start, share = 0, 1.0
        if bookmark.before is not None:
            bookmark.go_on(model, bookmark.before)
            start, share = bookmark.before.epoch, run.metrics["step_share"]
        excess = run.metrics.get("excess", math.inf)
        if criterion is not None and "excess" not in run.metrics:
            excess = criterion.excess(model)
            run.log("excess_before", excess)
            if excess <= criterion.chance:
                run.note(ALREADY)
                return
        affordable = math.ceil(BUDGET * len(split.retain) / len(split.forget))
        most = self.epochs if criterion is None else min(self.epochs, affordable)
        for epoch in range(start, most):
            if share < SMALLEST_SHARE or excess <= 0:
                break
            before = copy.deepcopy(model.state_dict())
            settings = training.replace(lr=share * training.lr)
            trouble, found = climb(checkpoint, split, settings, run, epoch, criterion)
            if trouble:
                model.load_state_dict(before)
                share = share / 2 if criterion is not None else 0.0
            else:
                excess = found
            run.log_all({"step_share": share, **({"excess": excess} if criterion else {})}, epoch)
            if trouble and criterion is None:
                run.note(f"epoch {epoch + 1} of the ascent was taken back and ended it: {trouble}")
            bookmark.put(model, checkpoint.mask, None, epoch + 1)
        if criterion is not None and excess > 0:
            run.note(
                criterion.shortfall()
                if share < SMALLEST_SHARE
                else f"after {most} epochs the forget set was not yet forgotten as unseen images "
                "are; raise epochs, or step"
            )
