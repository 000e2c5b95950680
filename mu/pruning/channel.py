"""Channel pruning: remove whole filters, those of the smallest L1 norm.

References
----------
Li, Kadav, Durdanovic, Samet & Graf (2017), Pruning Filters for Efficient ConvNets, ICLR,
section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu.pruning.base import Pruner, PruningContext

if TYPE_CHECKING:
    from torch import nn

    from mu.masks import Mask


@dataclass(frozen=True)
class Channel(Pruner):
    """Remove the filters whose L1 norm is smallest beside the mean of their layer's.

    A filter is what makes one output: an entry of a parameter's first dimension. The paper
    ranks within a layer and prunes each layer by a share of its own; here one rank over all
    layers finds the shares. The strongest filter of every layer goes last, so that a layer is
    emptied only where the rate cannot be reached otherwise. The number of weights kept is the
    nearest that whole filters allow.
    """

    name = "channel"

    def choose(self, model: nn.Module, mask: Mask, keep: int, context: PruningContext) -> Mask:
        """See :meth:`Pruner.choose`; looks at the weights alone."""
        from mu.pruning.scoring.ranking import without_weakest_filters

        return without_weakest_filters(model, mask, keep)
