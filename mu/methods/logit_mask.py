"""Logit mask: the output of a forgotten class is hidden, and nothing is unlearned. A control.

It shows what UA, MIA and the gap cannot tell of a class: the features are the original's, and a few
images of the class bring it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.errors import UserError
from mu.methods.base import Method

if TYPE_CHECKING:
    from torch import Tensor

    from mu.checkpoints import Checkpoint
    from mu.data.forget_split import ForgetSplit
    from mu.runs import Run
    from mu.training.progress import Checkpointer


@dataclass(frozen=True)
class LogitMask(Method):
    """Set weights and bias of the classes' outputs so that they are never predicted.

    A last layer without biases gives them the output 0.
    """

    name = "logit_mask"
    iterative: ClassVar[bool] = False

    def check(self, split: ForgetSplit) -> None:
        """See :meth:`Method.check`: there has to be a class that is forgotten as a whole."""
        if not split.forgotten_classes:
            raise UserError(
                "method=logit_mask hides the output of a class that is forgotten as a whole, and "
                "there is none; give forget=class:3, say, or method=nothing"
            )

    def unlearn(
        self,
        checkpoint: Checkpoint,
        split: ForgetSplit,
        run: Run,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        """See :meth:`Method.unlearn`."""
        import torch

        from mu.evaluation.controls import MASKED
        from mu.models.head import head_for

        self.check(split)
        classes = list(split.forgotten_classes)
        model = run.place(checkpoint.model)
        images = checkpoint.spec.recipe.model.example()
        head = head_for("method=logit_mask", model, images, "give method=nothing").module
        bias: Tensor | None = head.bias
        with torch.no_grad():
            head.weight[classes] = 0.0
            if bias is None:
                run.note("the last layer has no biases, so the hidden outputs are 0")
            else:
                bias[classes] = MASKED
