"""SSD: weights that matter to the forget set far more than to all data are damped, in one go.

With I and F the importance of a weight to all training data and to the forget set, those with
F > alpha * I are multiplied by min(lambda * I / F, 1). Nothing is trained. The importance of a
weight is the mean of its squared gradient by sample (``importance=sample``, with the network's own
predictions for labels, so that it does not vanish where the network fits its data). The published
code squares the mean gradient of a batch, with the data's labels (``batch``), which depends on the
batch size; LFSSD takes the mean |gradient| of the squared length of the logits (``outputs``), and
reads no label. Pruned weights, where both are zero, take no part.

By the rule, alpha falls until the forget set is forgotten. Without a given ``dampening`` lambda is
alpha, so that what is left of a weight falls steadily from 1; with another lambda it jumps.

References
----------
Foster, Schoepf & Brintrup (2024), Fast Machine Unlearning Without Retraining Through Selective
Synaptic Dampening, AAAI; Foster et al. (2024), Loss-Free Machine Unlearning, ICLR Tiny Papers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.hyperparameters import setting
from mu.methods.presets import Preset, Presets, published
from mu.methods.stopping import Stopping

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.data.forget_split import ForgetSplit
    from mu.runs import Run
    from mu.training.progress import Checkpointer

CODE = "selective-synaptic-dampening cdfdc0e: src/ssd.py, forget_*_main.py"
IMPORTANCES = ("sample", "batch", "outputs")


@dataclass(frozen=True)
class SelectiveSynapticDampening(Presets, Stopping):
    """Dampening of the weights that matter to the forget set the most."""

    name = "ssd"
    aliases = ("SSD",)
    iterative: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": published(CODE, alpha=10.0, dampening=1.0, importance="batch"),
        "vit": published(CODE, alpha=5.0, dampening=1.0, importance="batch"),
    }

    alpha: float | None = setting(
        None,
        help="how many times as important to the forget set as to all data a weight is that is "
        "damped (default: found by the rule)",
        above=0.0,
    )
    dampening: float | None = setting(
        None,
        help="lambda: what is left is lambda * I / F (default: alpha, so that nothing jumps)",
        above=0.0,
    )
    importance: str = setting(
        "sample",
        help="sample: mean squared gradient by sample, the network's predictions as labels; batch: "
        "squared mean gradient of a batch, as published; outputs: of LFSSD, without labels",
        choices=IMPORTANCES,
    )
    batch_size: int = setting(256, help="images a batch of the importance", low=1, high=2**20)

    def unlearn(
        self,
        checkpoint: Checkpoint,
        split: ForgetSplit,
        run: Run,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        """See :meth:`Method.unlearn`."""
        from mu.fisher.free import FreeWeights
        from mu.methods.steps.importance import importance, left, ratios
        from mu.methods.steps.search import FIRST, best_scale

        model = run.place(checkpoint.model)
        criterion = self.criterion(model, split, run)
        forget, every = (
            importance(checkpoint, part, run, self.importance, self.batch_size)
            for part in (split.forget_set, split.training_set)
        )
        free = FreeWeights(model, checkpoint.mask)
        weights, ratio = free.now(), ratios(forget, every)

        def write(scale: float) -> None:
            alpha = math.inf if scale == 0 else 1 / scale
            free.write(weights * left(ratio, alpha, self.dampening or alpha))

        if criterion is not None:
            scale = best_scale(criterion, model, write, 1 / FIRST / float(ratio.max()), run)
        else:
            scale = 1 / (self.alpha or math.inf)
        write(scale)
        run.log("alpha", 1 / scale if scale else 0.0)
