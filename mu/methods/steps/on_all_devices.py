"""Unlearning on all devices of a run."""

from __future__ import annotations

from collections.abc import Callable

from mu.checkpoints import Checkpoint
from mu.data.forget import ForgetSplit
from mu.distributed import everywhere
from mu.runs import Run
from mu.training.progress import Keeper


@everywhere
def unlearned(
    unlearn: Callable[[Checkpoint, ForgetSplit, Run, Keeper | None], None],
    checkpoint: Checkpoint,
    split: ForgetSplit,
    run: Run,
    keeper: Keeper | None = None,
) -> Checkpoint:
    """The checkpoint that a method's ``unlearn`` edited; in place where there is one device."""
    unlearn(checkpoint, split, run, keeper)
    return checkpoint
