"""DELETE: what the original says of the forget set, without the class that is to go.

The target of a sample is the original's softmax over all classes but its true one, and minimised is
the mean over samples of KL(target || softmax(f(x))), a sum over classes, on the forget set alone:
no retained image is needed. For random samples it would drive every true label out, which no
retrained network does, so it is refused unless whole classes are forgotten. A batch of one class
has statistics that are not the data's, so batch normalisation keeps the original's by default.

References
----------
Zhou et al. (2025), Decoupled Distillation to Erase: A General Unlearning Method for Any
Class-centric Tasks, CVPR.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.hyperparameters import changed
from mu.methods.passes import Passes
from mu.methods.presets import Preset, published

if TYPE_CHECKING:
    from torch import Tensor

    from mu.methods.steps.passes import Pass, Stage

CONFIG = "DELETE 60018a1: config/cifar10_resnet18.yaml"
OUT = -1e10  # a logit whose probability is 0


@dataclass(frozen=True)
class Delete(Passes):
    """Distillation from the original without the forgotten class, on the forget set alone."""

    name = "delete"
    aliases = ("DELETE",)
    classes_only = True
    teaches = True
    repairs = False  # the retain set takes no part
    gentle = 0.01
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": published(CONFIG, epochs=20, lr=1e-4, momentum=0.9, batch_size=128)
        | published("DELETE 60018a1: method/delete.py", optimizer="sgd")
        | published("no decay is named there", schedule="constant"),
    }

    batch_norm: str = changed(Passes, "batch_norm", "original")

    def passes(self, stage: Stage) -> Iterable[Pass]:
        """See :meth:`Passes.passes`."""
        from mu.methods.steps.passes import divergence

        def loss(logits: Tensor, labels: Tensor, teacher: Tensor) -> Tensor:
            return divergence(logits, teacher.scatter(1, labels[:, None], OUT))

        if stage.forgets:
            yield stage.forgetting(loss, guides=(stage.teacher,), prefix="")
