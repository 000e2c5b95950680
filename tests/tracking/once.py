"""A method that works in one go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from mu.checkpoints import Checkpoint
from mu.data.forget_split import ForgetSplit
from mu.hyperparameters import setting
from mu.methods.base import Method
from mu.runs import Run
from mu.training.progress import Checkpointer


@dataclass(frozen=True)
class Once(Method):
    """Halve every weight, say."""

    name = "once"
    iterative: ClassVar[bool] = False

    share: float = setting(0.5, help="what is left of each weight")

    def unlearn(
        self,
        checkpoint: Checkpoint,
        split: ForgetSplit,
        run: Run,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        """See :meth:`Method.unlearn`."""
        with torch.no_grad():
            for parameter in checkpoint.model.parameters():
                parameter *= self.share
        run.log("share", self.share)
