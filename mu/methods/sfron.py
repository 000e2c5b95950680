"""SFRon: adaptive ascent on salient weights, repaired by descent, and followed by slow weights.

Before every ``forget_every``-th step on the retain set comes one on a batch of the forget set. It
climbs a mean of cross-entropies l in which a sample has the weight l^-``exponent``: what is known
best is forgotten most. The gradient is that of the weights W whose importance (the mean squared
gradient of a batch, in evaluation mode) to the forget set is at least ``threshold`` times that to
the retain set; it is scaled by ``ascent``, which falls by a cosine, and clipped to the length
``max_norm``. Steps on the retain set move all weights.

These are the fast weights. After each such round the slow ones go the share ``follow`` of the way
to them, and the fast ones start from there again: theta <- theta + follow (fast - theta). In the
released settings the share is 1, which is no slow weights at all (``preset=released``). The value
of the paper was not read: 0.5 is that of Lookahead (Zhang et al., 2019), whose update this is.

Rounds start anew with each epoch, and ``ascent`` and learning rate fall from epoch to epoch; in the
authors' code rounds go on and both fall from step to step, and weights follow after each step.

References
----------
Huang et al. (2024), Unified Gradient-Based Machine Unlearning with Remain Geometry Enhancement,
NeurIPS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from math import cos, pi
from typing import TYPE_CHECKING, ClassVar

from mu.hyperparameters import setting
from mu.methods.passes import Passes
from mu.methods.presets import Preset, published

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.methods.steps.passes import Pass, Stage

CODE = "Unified-Unlearning-w-Remain-Geometry 36bb7f6: Classification/unlearn/sfron.py"
CIFAR: Preset = {
    **published(CODE, forget_every=5, ascent=25.0, exponent=0.5, threshold=1.0, max_norm=7.0),
    **published(CODE, lr=0.01, optimizer="sgd", momentum=0.9, weight_decay=5e-4, schedule="cosine"),
    **published("its script: batches of 128", batch_size=128),
    **published("its 1,500 steps are 4.3 passes over 45,000 images", epochs=4),
}


@dataclass(frozen=True)
class SFRon(Passes):
    """Steps of masked, adaptive ascent among those on the retain set; slow weights follow."""

    name = "sfron"
    aliases = ("SFRon", "SFR-on")
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": CIFAR,
        "released": {**CIFAR, **published(CODE + ", ema_beta", follow=1.0)},
    }

    forget_every: int = setting(
        5, help="steps on the retain set for each on the forget set", low=1, high=10**6
    )
    ascent: float = setting(25.0, help="factor on the ascent in the first epoch", above=0.0)
    exponent: float = setting(
        0.5, help="lambda: a sample of loss l has the weight l^-lambda", low=0.0, high=10.0
    )
    threshold: float = setting(
        1.0, help="gamma: ratio of importances from which on a weight is salient", low=0.0
    )
    max_norm: float = setting(7.0, help="most length of the gradient of an ascent", above=0.0)
    follow: float = setting(
        0.5,
        help="share of the way to the fast weights that the slow ones go; 1: there are none",
        above=0.0,
        high=1.0,
    )

    def held(self, checkpoint: Checkpoint, stage: Stage) -> None:
        """See :meth:`Passes.held`: it finds the salient weights, and holds none."""
        from mu.methods.steps.saliency import balanced

        batch = self.training(checkpoint.spec.recipe.training).batch_size
        stage.found = balanced(checkpoint, stage.split, stage.run, self.threshold, batch)

    def passes(self, stage: Stage) -> Iterable[Pass]:
        """See :meth:`Passes.passes`."""
        from mu.methods.steps.saliency import adaptive_ascent, mask_and_clip
        from mu.training.turns import Turns

        if not stage.forgets:
            return [stage.retaining()]
        scale = self.ascent * (1 + cos(pi * stage.epoch / self.epochs)) / 2
        edit = partial(mask_and_clip, factors=stage.found, norm=self.max_norm)
        turns = Turns(self.forget_every, edit, self.follow)
        climbing = stage.beside(adaptive_ascent(scale, self.exponent, stage.run), turns)
        return [stage.retaining(beside=climbing)]
