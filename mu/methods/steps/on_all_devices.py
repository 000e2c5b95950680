"""Unlearning on all devices of a run."""

from __future__ import annotations

from mu.checkpoints import Checkpoint
from mu.data.forget import ForgetSplit
from mu.distributed import everywhere
from mu.methods.base import Method
from mu.runs import Run
from mu.training.progress import Keeper


@everywhere
def unlearned(
    method: Method,
    checkpoint: Checkpoint,
    split: ForgetSplit,
    run: Run,
    keeper: Keeper | None = None,
) -> Checkpoint:
    """The checkpoint, edited in place where there is one device."""
    method.unlearn(checkpoint, split, run, keeper)
    return checkpoint
