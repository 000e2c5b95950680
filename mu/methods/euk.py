"""EU-k: draw the last k blocks and the classifier anew, and train them on the retain set.

The control that has forgotten exactly in the top of the network: weights there, and running
statistics, are those of the architecture before any training, by the run's seed and under the mask.
The rest stays as in CF-k (:mod:`mu.methods.cfk`), bit for bit, and still knows the forget set.

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
    from mu.checkpoints import Checkpoint
    from mu.methods.steps.passes import Pass, Stage


@dataclass(frozen=True)
class ExactUnlearning(LastBlocks):
    """The last blocks are drawn anew and trained on the retain set."""

    name = "euk"
    aliases = ("EU-k", "EU_k")
    gentle = 1.0  # the reset has forgotten: what is drawn anew has to be trained
    presets: ClassVar[Mapping[str, Preset]] = {"paper": published_in("exact_unlearning")}

    def edit(self, checkpoint: Checkpoint, stage: Stage) -> None:
        """See :meth:`Passes.edit`; with ``batch_norm=original`` statistics stay."""
        from mu.methods.steps.resetting import take_over

        part = self.part(checkpoint)
        modules = () if self.batch_norm == "original" else part.modules
        take_over(checkpoint.model, stage.stranger, part.parameters, modules)

    def passes(self, stage: Stage) -> Iterable[Pass]:
        """See :meth:`Passes.passes`."""
        return [stage.retaining()]
