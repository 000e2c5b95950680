"""Bad teacher: like the original on the retain set, like a network that knows nothing on the rest.

Minimised is the mean over samples of KL(target || softmax(f(x) / T)), a sum over classes; the
target of a sample of the forget set is what a network of the same architecture and mask with
weights drawn anew says of it, that of a retained one what the original says, both at temperature T
and in evaluation mode. An epoch is one pass over the forget set and a share of the retain set,
shuffled together. No label is read. By the rule, epochs that are not to forget have the retained
part only.

References
----------
Chundawat, Tarun, Mandal & Kankanhalli (2023), Can Bad Teaching Induce Forgetting? Unlearning in
Deep Networks using an Incompetent Teacher, AAAI.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.hyperparameters import setting
from mu.methods.passes import Passes
from mu.methods.presets import Preset, published

if TYPE_CHECKING:
    from torch import Tensor

    from mu.methods.steps.passes import Pass, Stage

CODE = "bad-teaching-unlearning: unlearn.py"


@dataclass(frozen=True)
class BadTeacher(Passes):
    """Distillation from a network that knows nothing, and from the original."""

    name = "bad_teacher"
    aliases = ("BadT", "blindspot", "bad-T")
    teaches = True
    repairs = False  # a share of the retain set does not
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": published(CODE, epochs=1, lr=1e-4, optimizer="adam", batch_size=256)
        | published(CODE, temperature=1.0, retain_share=0.3)
        | published("torch's default of Adam", weight_decay=0.0),
    }

    temperature: float = setting(1.0, help="T of the distillation", above=0.0)
    retain_share: float = setting(
        0.3, help="share of the retain set that an epoch sees, drawn once", above=0.0, high=1.0
    )

    def passes(self, stage: Stage) -> Iterable[Pass]:
        """See :meth:`Passes.passes`."""
        import torch

        from mu.methods.steps.passes import divergence

        def loss(logits: Tensor, marks: Tensor, teacher: Tensor, stranger: Tensor) -> Tensor:
            wanted = torch.where((marks == 1)[:, None], stranger, teacher)
            return divergence(logits, wanted, self.temperature)

        retain = stage.split.retain_set
        count = max(1, round(self.retain_share * len(retain)))
        part = retain.drawn(count, stage.run.generator("retained share"))
        data = stage.marked(part, forget=stage.forgets)
        return [stage.retaining(loss, data, guides=(stage.teacher, stage.stranger))]
