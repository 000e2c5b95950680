"""Retrain: the oracle. From scratch, on the retain set alone, by the original's own recipe.

References
----------
Jia et al. (2023), Model Sparsity Can Simplify Machine Unlearning, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu.errors import UserError
from mu.hyperparameters import setting
from mu.methods.base import Method

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.data.forget_split import ForgetSplit
    from mu.runs import Run
    from mu.training.progress import Checkpointer


@dataclass(frozen=True)
class Retrain(Method):
    """Repeat the original's recipe without the forget set, from the same initial weights."""

    name = "retrain"
    aliases = ("Retrain",)

    mask_from: str = setting(
        "upstream",
        help="upstream: keep the original's mask, the paper's protocol (that mask saw the forget "
        "set); retain: find the mask anew on the retain set, the clean oracle",
        choices=("upstream", "retain"),
    )

    def unlearn(
        self,
        checkpoint: Checkpoint,
        split: ForgetSplit,
        run: Run,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        """See :meth:`Method.unlearn`; with ``mask_from=retain`` the mask changes too."""
        from mu.originals.rounds import train_network

        if self.mask_from == "retain" and checkpoint.spec.recipe.given_mask:
            raise UserError(
                "mask_from=retain: the original was trained under a mask that was given, so there "
                "is no recipe to find it anew; use mask_from=upstream"
            )
        mask = checkpoint.mask if self.mask_from == "upstream" else None
        recipe, data = checkpoint.spec.recipe, split.retain_set
        model, mask = train_network(recipe, data, run, mask=mask, checkpointer=checkpointer)
        checkpoint.model.load_state_dict(model.state_dict())
        checkpoint.mask = mask
