"""Boundary unlearning: the forget set moves over the original's decision boundary.

``shrink`` trains each image of the forget set to be called y' = argmax f0(x'), where x' is the
image after a step of ``bound`` per pixel along the sign of the gradient of the original's
cross-entropy: the class behind the nearest boundary. Pixels are those of the image, 0 to 1, before
they are normalised. Labels are found once, on images as they are. An image whose label the step
does not change is trained on its true label, as published; ``flipped`` is the share of the others.

``expand`` gives the network one more output, to which the forget set is trained, and which is
removed at the end. Neither sees the retain set.

References
----------
Chen, Gao, Liu, Peng & Wang (2023), Boundary Unlearning: Rapid Forgetting of Deep Networks via
Shifting the Decision Boundary, CVPR.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.hyperparameters import changed, setting
from mu.methods.passes import Passes
from mu.methods.presets import Preset, published

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.methods.steps.passes import Pass, Stage

CODE = "Unlearn-Saliency a6e89fd: unlearn/boundary_sh.py"
SHARED = published(CODE, bound=0.1, batch_norm="batch") | published(
    "no decay is named there", schedule="constant"
)
CONFIG = "DELETE 60018a1: config/cifar10_resnet18.yaml"
SCRIPT = "Scissorhands 0e03cf9: sh/main_0.1_cifar10.sh"


@dataclass(frozen=True)
class Boundary(Passes):
    """Cross-entropy on the forget set, with the nearest wrong label or an extra one."""

    name = "boundary"
    aliases = ("boundary_shrink", "BS")
    teaches = True
    repairs = False  # the retain set takes no part
    gentle = 0.01
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": published(CONFIG, epochs=20, lr=1e-4, batch_size=128)
        | published("DELETE 60018a1: method/boundary_shrink.py", optimizer="sgd", momentum=0.9)
        | published("torch's default of SGD", weight_decay=0.0)
        | SHARED,
        "scissorhands": published(SCRIPT, epochs=10, lr=1e-6) | SHARED,
    }

    variant: str = setting(
        "shrink",
        help="shrink: train to the class behind the nearest boundary; expand: to an extra class",
        choices=("shrink", "expand"),
    )
    bound: float = setting(
        0.1, help="of shrink: how far a pixel (0 to 1) moves to find that class", above=0, high=1.0
    )
    batch_norm: str = changed(Passes, "batch_norm", "original")

    @contextmanager
    def around(self, checkpoint: Checkpoint, stage: Stage) -> Iterator[None]:
        """See :meth:`Passes.around`; the extra output."""
        from mu.methods.steps.expanding import expanded

        if self.variant == "shrink":
            yield
            return
        with expanded(checkpoint, stage.run, "variant=expand", "give variant=shrink") as stage.loss:
            yield

    def passes(self, stage: Stage) -> Iterable[Pass]:
        """See :meth:`Passes.passes`."""
        from mu.methods.steps.adversarial import adversarial, signed

        if not stage.forgets:
            return
        if self.variant == "expand":
            yield stage.forgetting(stage.loss, prefix="")
            return
        _, labels = adversarial(stage, signed(self.bound))
        yield stage.forgetting(data=stage.relabelled(labels), prefix="")
