"""Training on random labels of the forget set: what ``rl`` and ``salun`` share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.hyperparameters import setting
from mu.methods.passes import Passes

if TYPE_CHECKING:
    from torch import Tensor

    from mu.checkpoints import Checkpoint
    from mu.methods.steps.passes import Pass, Stage
    from mu.training.held import Held

VARIANTS = ("turns", "mixed", "amnesiac")


@dataclass(frozen=True)
class Relabelling(Passes):
    """Cross-entropy with random labels on the forget set, with the true ones on the retain set."""

    gentle: ClassVar[float] = 0.1

    variant: str = setting(
        "turns",
        help="turns: in each epoch the forget set with labels of all classes, drawn anew, then the "
        "retain set; mixed: the same, both shuffled together; amnesiac: together, with wrong "
        "labels that are drawn once",
        choices=VARIANTS,
    )

    @abstractmethod
    def held(self, checkpoint: Checkpoint, stage: Stage) -> Held | None:
        """See :meth:`Passes.held`; each method says which weights move."""

    def passes(self, stage: Stage) -> Iterable[Pass]:
        """See :meth:`Passes.passes`."""
        if not stage.forgets:
            return [stage.retaining()]
        relabelled = stage.relabelled(self.labels(stage))
        if self.variant == "turns":
            return [stage.forgetting(data=relabelled), stage.retaining()]
        joined = stage.joined(relabelled, stage.split.retain_set)
        return [stage.retaining(data=joined)]

    def labels(self, stage: Stage) -> Tensor:
        """Labels of the forget set (n,): of all classes, the true one among them, or wrong ones."""
        import torch

        true, classes = stage.split.forget_set.labels, stage.classes
        if self.variant != "amnesiac":
            return torch.randint(classes, true.shape, generator=stage.draws("random labels"))
        draws = stage.run.generator("wrong labels")
        return (true + torch.randint(1, classes, true.shape, generator=draws)) % classes
