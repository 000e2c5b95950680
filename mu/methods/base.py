"""What an unlearning method is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from mu.errors import UserError
from mu.registry import Registered

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.data.forget_split import ForgetSplit
    from mu.runs import Run
    from mu.training.progress import Checkpointer
    from mu.training.recipe import Training


@dataclass(frozen=True)
class Method(Registered, ABC):
    """A way of making a model forget; its fields are its hyperparameters."""

    # Whether progress is kept after each epoch. What works in one go starts again after an
    # interruption, and has no use for a checkpointer.
    iterative: ClassVar[bool] = True
    # Whether it makes sense only where all that is forgotten are whole classes
    classes_only: ClassVar[bool] = False

    @classmethod
    def restored(cls, settings: Mapping[str, Any], original: Training) -> Self:
        """The method of an interrupted run, maybe of an earlier version, by what that kept.

        ``original``: how the network was trained.
        """
        return cls.of(settings, owner=f"method {cls.name}")

    def in_force(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """The hyperparameters as they take effect on ``checkpoint``: what a run records."""
        return self.as_dict()

    def identity(self) -> dict[str, Any]:
        """What the fingerprint of an unlearning is made of: the same gives the same result."""
        return self.by_former_names()

    def check(self, split: ForgetSplit) -> None:
        """Refuse a problem that the settings cannot solve, before any work is done.

        UserError if there is nothing to tell how far to go, or samples of a class that stays are to
        be forgotten by a method for whole classes.
        """
        forgotten = {*split.forgotten_classes}
        if self.classes_only and not {*split.forget_set.labels.tolist()} <= forgotten:
            raise UserError(
                f"method={self.name} forgets whole classes, and samples of others are in the "
                "forget set; give forget=class:3, say, or method=scrub"
            )

    @property
    def ranked_by(self) -> str | None:
        """The run of ``lira`` that is to tell the forget set's memorisation, if one is."""
        return None

    @abstractmethod
    def unlearn(
        self,
        checkpoint: Checkpoint,
        split: ForgetSplit,
        run: Run,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        """Edit ``checkpoint`` in place so that it forgets ``split.forget``.

        The model's weights change; the mask only where a method is said to find a new one. Pruned
        weights are exactly zero afterwards. What happens depends on the arguments and on
        ``run.seed`` alone. ``checkpointer``: keeps the progress after each epoch. Where it holds
        some already, ``checkpoint`` is the original again, and unlearning goes on there; on the CPU
        it ends with the very weights that it would have had without the interruption.
        """


def unlearn(
    method: Method,
    checkpoint: Checkpoint,
    split: ForgetSplit,
    run: Run,
    checkpointer: Checkpointer | None = None,
) -> None:
    """:meth:`Method.unlearn`; where several ranks do it, all end with the same network."""
    run.place(checkpoint.model, split.dataset.shape)
    method.unlearn(checkpoint, split, run, checkpointer)
    run.ranks.same_weights(checkpoint.model)  # what each computed alone may differ by rounding
    checkpoint.mask = run.ranks.same(checkpoint.mask)
