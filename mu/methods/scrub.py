"""SCRUB: away from what the original says of the forget set, and like it on the retain set.

The teacher is the original, in evaluation mode. With KD(s, t) = T^2 KL(softmax(t / T) ||
softmax(s / T)), a sum over classes and a mean over samples, each of the first ``forget_epochs``
epochs begins with a pass over the forget set that minimises -KD; then, as in all others, comes one
over the retain set that minimises gamma * CE + alpha * KD. One optimiser takes all steps.

By the rule, epochs forget while the forget set is known too well, and the best one is kept: that is
SCRUB+R's rewinding, told by what the original says of validation images, in place of what the last
epoch says of them (``rewind=true`` without the rule).

References
----------
Kurmanji, Triantafillou, Hayes & Triantafillou (2023), Towards Unbounded Machine Unlearning,
NeurIPS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.hyperparameters import MOST_EPOCHS, setting
from mu.methods.passes import Passes
from mu.methods.presets import Published

if TYPE_CHECKING:
    from torch import Tensor

    from mu.methods.steps.passes import Pass, Stage

LARGE = "SCRUB 98ffb11: notebook of the large-scale experiments"
RULI = "Ruli 9541122: core/unlearn_config.json"


@dataclass(frozen=True)
class Scrub(Passes):
    """Distillation from the original: away from it on the forget set, to it on the retain set."""

    name = "scrub"
    aliases = ("SCRUB",)
    teaches = True
    presets: ClassVar[Mapping[str, Mapping[str, Published]]] = {
        "paper": {
            "epochs": Published(3, LARGE),
            "forget_epochs": Published(2, LARGE),
            "label_weight": Published(0.99, LARGE),
            "teacher_weight": Published(0.001, LARGE),
            "temperature": Published(4.0, LARGE),
            "lr": Published(5e-4, LARGE),
            "optimizer": Published("sgd", LARGE),
            "weight_decay": Published(5e-4, LARGE),
            "forget_batch_size": Published(32, LARGE),
            "batch_size": Published(128, LARGE),
            "schedule": Published("constant", LARGE),
        },
        "ruli": {
            "epochs": Published(5, RULI),
            "forget_epochs": Published(1, RULI),
            "label_weight": Published(0.99, RULI),
            "teacher_weight": Published(0.1, RULI),
            "temperature": Published(1.0, RULI),
            "lr": Published(5e-4, RULI),
            "optimizer": Published("adam", RULI),
            "forget_batch_size": Published(16, RULI),
            "batch_size": Published(64, RULI),
            "schedule": Published("constant", RULI),
        },
    }

    forget_epochs: int = setting(
        2, help="M: epochs that begin with the forget set, without the rule", high=MOST_EPOCHS
    )
    label_weight: float = setting(0.99, help="gamma: weight of the cross-entropy", low=0.0)
    teacher_weight: float = setting(0.001, help="alpha: weight of the distillation", low=0.0)
    temperature: float = setting(4.0, help="T of the distillation", above=0.0)

    def planned(self, epoch: int) -> bool:
        """See :meth:`Passes.planned`."""
        return epoch < self.forget_epochs

    def passes(self, stage: Stage) -> Iterable[Pass]:
        """See :meth:`Passes.passes`."""
        from torch.nn.functional import cross_entropy

        from mu.methods.steps.passes import divergence

        def apart(logits: Tensor, teacher: Tensor) -> Tensor:
            return self.temperature**2 * divergence(logits, teacher, self.temperature)

        def alike(logits: Tensor, labels: Tensor, teacher: Tensor) -> Tensor:
            told = apart(logits, teacher)
            return self.label_weight * cross_entropy(logits, labels) + self.teacher_weight * told

        guides = (stage.teacher,)
        if stage.forgets:
            yield stage.forgetting(lambda ours, _labels, told: -apart(ours, told), guides=guides)
        yield stage.retaining(alike, guides=guides)
