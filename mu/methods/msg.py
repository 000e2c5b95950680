"""MSG: draw the weights anew that tell forget and retain set apart the least, and train on.

With G the gradient of the cross-entropy of a part of the retain set as large as the forget set,
minus that of the forget set, the share ``reset_share`` of each layer's weights with the smallest
|G| is drawn again (Kaiming's normal, by fan-out); then come passes over the retain set in which
the gradients of the layer's other weights are multiplied by ``kept_speed``. Layers are those that
the mask names: of convolutional networks their convolutions, which is what the authors took. On a
sparse network only kept weights are ranked and drawn, with the deviation of a dense layer.

References
----------
Second place of the NeurIPS 2023 Machine Unlearning Challenge; named by Cadet et al. (2024), Deep
Unlearn: Benchmarking Machine Unlearning, arXiv:2410.01276.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.hyperparameters import setting
from mu.methods.passes import Passes
from mu.methods.presets import Preset, published

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.methods.steps.passes import Pass, Stage
    from mu.training.held import Held

CODE = "deepunlearn 6830ff6: munl/unlearning/kgltop2.py"


@dataclass(frozen=True)
class MaskedSmallGradients(Passes):
    """Weights with small gradients are drawn anew, and the retain set is trained on."""

    name = "msg"
    aliases = ("MSG",)
    gentle = 2.0  # what was done to the weights has forgotten: they have to be trained again
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": published(CODE, epochs=5, lr=1e-3, momentum=0.9, weight_decay=5e-4)
        | published(CODE, batch_size=64, optimizer="sgd", reset_share=0.3, kept_speed=0.1)
        | published("the nearest to its linear rise and fall", schedule="one_cycle"),
    }

    reset_share: float = setting(
        0.3, help="share of a layer's weights that is drawn anew", low=0.0, high=1.0
    )
    kept_speed: float = setting(
        0.1, help="factor on the gradients of the layers' other weights", above=0.0, high=1.0
    )

    def held(self, checkpoint: Checkpoint, stage: Stage) -> Held:
        """See :meth:`Passes.held`."""
        from mu.methods.steps.resetting import smallest
        from mu.training.held import Held

        stage.found = smallest(checkpoint, stage.split, stage.run, self.reset_share)
        factors = {name: one + self.kept_speed * ~one for name, one in stage.found.items()}
        return Held(checkpoint.model, factors)

    def edit(self, checkpoint: Checkpoint, stage: Stage) -> None:
        """See :meth:`Passes.edit`."""
        from mu.methods.steps.resetting import draw_anew

        draw_anew(checkpoint, stage.found, stage.run)

    def passes(self, stage: Stage) -> Iterable[Pass]:
        """See :meth:`Passes.passes`."""
        return [stage.retaining()]
