"""SCRUB: away from what the original says of the forget set, and like it on the retain set.

The teacher is the original, in evaluation mode. With KD(s, t) = T^2 KL(softmax(t / T) ||
softmax(s / T)), a sum over classes and a mean over samples, each of the first ``forget_epochs``
epochs begins with a pass over the forget set that minimises -KD; then, as in all others, comes one
over the retain set that minimises gamma * CE + alpha * KD. One optimiser takes all steps.

By the rule, epochs forget while the forget set is known too well, and the best one is kept: that is
SCRUB+R's rewinding, told by what the original says of validation images, in place of what the last
epoch says of them. With a given ``lr`` or a preset it is SCRUB, which ends with its last epoch.

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
from mu.methods.presets import Preset, published

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
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": published(LARGE, epochs=3, forget_epochs=2, lr=5e-4, optimizer="sgd")
        | published(LARGE, label_weight=0.99, teacher_weight=0.001, temperature=4.0)
        | published(LARGE, weight_decay=5e-4, forget_batch_size=32, batch_size=128)
        | published("no decay is named there", schedule="constant"),
        "ruli": published(RULI, epochs=5, forget_epochs=1, lr=5e-4, optimizer="adam")
        | published(RULI, label_weight=0.99, teacher_weight=0.1, temperature=1.0)
        | published(RULI, forget_batch_size=16, batch_size=64)
        | published("no decay is named there", schedule="constant"),
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
