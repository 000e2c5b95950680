"""Fine-tuning: train on for a few epochs on the retain set, and let the rest be forgotten.

References
----------
Golatkar, Achille & Soatto (2020), Eternal Sunshine of the Spotless Net, CVPR; Warnecke et al.
(2021), Machine Unlearning of Features and Labels; as compared by Jia et al. (2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu.methods.fine_tuning import FineTuning

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.data.forget_split import ForgetSplit
    from mu.runs import Run
    from mu.training.progress import Checkpointer


@dataclass(frozen=True)
class FineTune(FineTuning):
    """Cross-entropy on the retain set."""

    name = "ft"
    aliases = ("FT",)

    def unlearn(
        self,
        checkpoint: Checkpoint,
        split: ForgetSplit,
        run: Run,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        """See :meth:`Method.unlearn`."""
        from mu.training.resumable import train_resumably

        train_resumably(
            checkpoint.model,
            split.retain_set,
            self.training(checkpoint.spec.recipe.training),
            run,
            mask=checkpoint.mask,
            checkpointer=checkpointer,
            label="fine-tuning",
        )
