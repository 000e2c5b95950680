"""SNIP: keep the connections that the loss is most sensitive to.

References
----------
Lee, Ajanthan & Torr (2019), SNIP: Single-Shot Network Pruning Based on Connection Sensitivity,
ICLR.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu.pruning.base import ProbingPruner, PruningContext

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mu.masks import Mask
    from mu.pruning.scoring.probe import Probe


@dataclass(frozen=True)
class SNIP(ProbingPruner):
    """Keep the weights with the largest ``|weight * gradient|``.

    That is the derivative of the loss by a factor in front of the weight, at factor one.
    """

    name = "snip"

    def choose(self, model: nn.Module, mask: Mask, keep: int, context: PruningContext) -> Mask:
        """See :meth:`Pruner.choose`; looks at the gradient of the loss."""
        from mu.pruning.scoring.probe import Probe
        from mu.pruning.scoring.ranking import keep_largest

        scores = sensitivities(Probe(model, mask, context, self.samples), mask)
        if not any(bool(score.any()) for score in scores.values()):
            context.run.note(
                "every score of snip is zero: the gradient reaches no prunable weight (does the "
                "last layer start at zero?); prune with when=trained"
            )
        return keep_largest(scores, mask, keep)


def sensitivities(probe: Probe, mask: Mask) -> dict[str, Tensor]:
    """``|weight * gradient|`` of each prunable weight."""
    gradient = probe.gradient(list(mask))
    return {name: gradient[name].mul_(probe.parameters[name].detach()).abs_() for name in mask}
