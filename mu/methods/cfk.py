"""CF-k: train the last k blocks and the classifier on the retain set; the rest stays as it is.

What a block is, :mod:`mu.models.blocks` says. Parameters and running statistics below the last k
are bit for bit the original's, and batch normalisation there computes by these statistics, without
dropout. So it is no more than fine-tuning of the top: the rest still knows the forget set.

References
----------
Goel, Prabhu & Kumaraguru (2022), Towards Adversarial Evaluations for Inexact Machine Unlearning,
arXiv:2201.06640.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.methods.last_blocks import LastBlocks, published_in
from mu.methods.presets import Preset

if TYPE_CHECKING:
    from mu.methods.steps.passes import Pass, Stage


@dataclass(frozen=True)
class CatastrophicForgetting(LastBlocks):
    """The last blocks are trained on the retain set, nothing else moves."""

    name = "cfk"
    aliases = ("CF-k", "CF_k")
    gentle = 1.0  # as fine-tuning: nothing forgets but the learning rate
    presets: ClassVar[Mapping[str, Preset]] = {"paper": published_in("catastrophic_forgetting")}

    def passes(self, stage: Stage) -> Iterable[Pass]:
        """See :meth:`Passes.passes`."""
        return [stage.retaining()]
