"""SalUn: random labels, and only the weights move that the forget set depends on the most.

The saliency of a weight is the size of the gradient of the mean cross-entropy of the forget set, in
evaluation mode. All weights are ranked together, those of normalisation and biases too, but not
the pruned ones: on a sparse network a share of all weights would be taken from zeros. (The
gradient is of the mean over samples; the authors add up means of batches.) The share
``saliency`` moves; the rest stays bit for bit, whatever weight decay and momentum do. (Before
February 2026 they moved it in the authors' code, so most published numbers are of that.) Running
statistics of batch normalisation are no weights, and go on in all layers.

References
----------
Fan et al. (2024), SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency in Both
Image Classification and Generation, ICLR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.hyperparameters import setting
from mu.methods.presets import Preset, published
from mu.methods.relabelling import Relabelling

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.methods.steps.passes import Stage
    from mu.training.held import Held

README = "Unlearn-Saliency a6e89fd: README"
CODE = "Unlearn-Saliency a6e89fd: Classification/unlearn/RL.py"


@dataclass(frozen=True)
class SalUn(Relabelling):
    """Random labels, on the salient weights only."""

    name = "salun"
    aliases = ("SalUn",)
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": published(README, epochs=10, lr=0.013, saliency=0.5)
        | published(CODE, variant="turns", optimizer="sgd", momentum=0.9, weight_decay=5e-4)
        | published(CODE, batch_size=256)
        | published("its steps come after epoch 91", schedule="constant"),
    }

    saliency: float = setting(
        0.5, help="share of the weights that are not pruned which moves", above=0.0, high=1.0
    )

    def held(self, checkpoint: Checkpoint, stage: Stage) -> Held | None:
        """See :meth:`Passes.held`: all but the salient weights."""
        from mu.methods.steps.importance import largest, mean_gradient_sizes

        sizes = mean_gradient_sizes(checkpoint, stage.split.forget_set, stage.run)
        return largest(checkpoint, sizes, self.saliency)
