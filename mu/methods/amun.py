"""AMUN: fine-tuning on the nearest images to the forget set that the original calls something else.

For each image of the forget set a near one is found that the original gives another label: by steps
of a tenth of ``radius`` (L2, pixels from 0 to 1) along the gradient of the cross-entropy, in a ball
of that radius, which doubles after each ``steps`` steps, until the label changes. It keeps the one
that the original gives it, so the network has to change little, and where the forget set is.
Then comes a fine-tuning on retain set, forget set with its true labels, and these images: one set,
shuffled. They are real numbers, not bytes, and are not augmented, as in the authors' code. An image
that no step moves to another label has no adversarial one.

By the rule, epochs that need not forget are on the retain set alone.

References
----------
Ebrahimpour-Boroojeny, Sundaram & Chandrasekaran (2025), Not All Wrong is Bad: Using Adversarial
Examples for Unlearning, ICML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.hyperparameters import setting
from mu.methods.passes import Passes
from mu.methods.presets import Preset, published

if TYPE_CHECKING:
    from mu.methods.steps.passes import Pass, Stage

BUILDER, ATTACK = "AMUN 9e341a9: its builder of images", "AMUN 9e341a9: pgdl2_modified.py"
TUNING = "AMUN 9e341a9: hyperparam_tune.py, whose learning rates are a grid"


@dataclass(frozen=True)
class Amun(Passes):
    """Cross-entropy on all training images, and on adversarial ones with the original's labels."""

    name = "amun"
    aliases = ("AMUN",)
    teaches = True
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": published(TUNING, epochs=10, optimizer="sgd", momentum=0.9, weight_decay=5e-4)
        | published(TUNING, batch_size=128)
        | published(BUILDER, radius=0.01)
        | published(ATTACK, steps=50),
    }

    radius: float = setting(
        0.01, help="epsilon: of the first ball around an image (L2, pixels 0 to 1)", low=1e-6
    )
    steps: int = setting(50, help="within a ball, before its radius doubles", low=1, high=10_000)
    retained: bool = setting(True, help="whether the retain set is trained on, too")

    @property
    def repairs(self) -> bool:
        """See :attr:`Passes.repairs`."""
        return self.retained

    def passes(self, stage: Stage) -> Iterable[Pass]:
        """See :meth:`Passes.passes`."""
        from mu.methods.steps.adversarial import adversarial, nearest

        if stage.forgets:
            found = adversarial(stage, nearest(self.radius, self.steps))
            yield stage.retaining(data=stage.extended(*found, retained=self.retained))
        elif self.retained:
            yield stage.retaining()
