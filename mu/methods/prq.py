"""PRMQ: prune nearly all, draw what was pruned anew, train on, and round to half precision.

Of the weights and biases of convolutions and linear layers, the share ``prune_share`` with the
smallest size is pruned, all layers ranked together. Pruned weights are drawn again, uniformly up to
1 / sqrt(fan-in); pruned biases begin at zero. Passes over the retain set minimise the
cross-entropy, in which a class of n samples has the weight n^-0.1, and the mean squared difference
of the outputs' entropy to the original's. In the end weights and running statistics are rounded to
float16 (``half``). This forgets by pruning, as training a pruned original anew does, but its holes
are filled: on a sparse original only kept weights are ranked and drawn, and its zeros stay.

References
----------
Fourth place of the NeurIPS 2023 Machine Unlearning Challenge; named by Cadet et al. (2024), Deep
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
    from mu.data.forget_split import ForgetSplit
    from mu.methods.steps.passes import Pass, Stage
    from mu.runs import Run
    from mu.training.progress import Checkpointer

CODE = "deepunlearn 6830ff6: munl/unlearning/kgltop4.py"
EXPONENT = -0.1  # of a class's number of samples, in its weight


@dataclass(frozen=True)
class PruneRetrainQuantize(Passes):
    """The smallest weights are drawn anew, and the retain set is trained on."""

    name = "prq"
    aliases = ("PRMQ",)
    teaches = True
    gentle = 2.0  # what was done to the weights has forgotten: they have to be trained again
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": published(CODE, lr=5e-4, momentum=0.9, weight_decay=5e-4, batch_size=64)
        | published(CODE, optimizer="sgd", prune_share=0.99)
        | published("it trains for 3.2 epochs", epochs=3)
        | published("no decay is named there", schedule="constant"),
    }

    prune_share: float = setting(
        0.99, help="share of the kept weights that is pruned and drawn anew", low=0.0, high=1.0
    )
    half: bool = setting(True, help="round weights and statistics to float16 in the end")

    def edit(self, checkpoint: Checkpoint, stage: Stage) -> None:
        """See :meth:`Passes.edit`."""
        from mu.methods.steps.rebuilding import redraw_smallest

        redraw_smallest(checkpoint, self.prune_share, stage.run)

    def passes(self, stage: Stage) -> Iterable[Pass]:
        """See :meth:`Passes.passes`."""
        from mu.methods.steps.rebuilding import class_weights, keeping_entropy

        weights = class_weights(stage.split.retain_set, stage.classes, EXPONENT)
        loss = keeping_entropy(weights, stage.run)
        return [stage.retaining(loss, guides=(stage.teacher,))]

    def unlearn(
        self,
        checkpoint: Checkpoint,
        split: ForgetSplit,
        run: Run,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        """See :meth:`Method.unlearn`; where the rule keeps the original, nothing is rounded."""
        from mu.methods.steps.rebuilding import round_to_half

        before = checkpoint.fingerprint
        super().unlearn(checkpoint, split, run, checkpointer)
        if self.half and checkpoint.fingerprint != before:
            round_to_half(checkpoint.model)
