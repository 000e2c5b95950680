"""Nothing: the original as it is. A control, which every method has to be better than."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.methods.base import Method

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.data.forget_split import ForgetSplit
    from mu.runs import Run
    from mu.training.progress import Checkpointer


@dataclass(frozen=True)
class Nothing(Method):
    """Leave every weight as it is."""

    name = "nothing"
    iterative: ClassVar[bool] = False

    def unlearn(
        self,
        checkpoint: Checkpoint,
        split: ForgetSplit,
        run: Run,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        """See :meth:`Method.unlearn`."""
        run.place(checkpoint.model)
