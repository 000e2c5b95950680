"""Fine-tuning: train on for a few epochs on the retain set, and let the rest be forgotten.

What it forgets depends on the learning rate: at a low one the network stays where it is. So by
default the rate rises until the forget set is forgotten, and then falls, so that the retain set is
learnt back (:mod:`mu.methods.stopping`).

References
----------
Golatkar, Achille & Soatto (2020), Eternal Sunshine of the Spotless Net, CVPR; Warnecke et al.
(2021), Machine Unlearning of Features and Labels; as compared by Jia et al. (2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.methods.fine_tuning import FineTuning
from mu.methods.presets import UNLEARN_SPARSE, Preset, Presets, published

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.data.forget_split import ForgetSplit
    from mu.runs import Run
    from mu.training.progress import Checkpointer

DOUBLINGS = 5  # of the learning rate, over half of the epochs


@dataclass(frozen=True)
class FineTune(Presets, FineTuning):
    """Cross-entropy on the retain set."""

    name = "ft"
    aliases = ("FT",)
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": published(UNLEARN_SPARSE, epochs=10, lr=0.01, schedule="constant"),
    }

    def unlearn(
        self,
        checkpoint: Checkpoint,
        split: ForgetSplit,
        run: Run,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        """See :meth:`Method.unlearn`."""
        from mu.methods.steps.best import Ramp, train_by_rule

        criterion = self.criterion(run.place(checkpoint.model), split, run)
        training = self.training(checkpoint.spec.recipe.training)
        ramp = Ramp(training, run, DOUBLINGS)
        train_by_rule(
            criterion,
            checkpoint,
            split.retain_set,
            training,
            run,
            checkpointer,
            factor=None if criterion is None else lambda moment: ramp.level(int(moment)),
            label="fine-tuning",
        )
