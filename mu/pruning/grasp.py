"""GraSP: keep the weights without which the gradient would shrink the most.

References
----------
Wang, Zhang & Grosse (2020), Picking Winning Tickets Before Training by Preserving Gradient Flow,
ICLR.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu.pruning.base import ProbingPruner, PruningContext

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mu.masks import Mask
    from mu.pruning.scoring.probe import Probe

# Of the logits: with it, the fresh network's outputs are near uniform, and what they happen to
# be has little say in the curvature.
TEMPERATURE = 200.0


@dataclass(frozen=True)
class GraSP(ProbingPruner):
    """Keep the weights whose removal would reduce the gradient's norm the most.

    To first order, removing the weight ``t`` changes half the squared norm of the gradient
    ``g`` by ``-t * (H g)``, H the Hessian. The weights with the largest change are removed.
    Their change may be positive: what stands in the gradient's way goes first.
    """

    name = "grasp"

    def choose(self, model: nn.Module, mask: Mask, keep: int, context: PruningContext) -> Mask:
        """See :meth:`Pruner.choose`; looks at second derivatives of the loss."""
        from mu.pruning.scoring.probe import Probe
        from mu.pruning.scoring.ranking import keep_largest

        probe = Probe(model, mask, context, self.samples, TEMPERATURE)
        return keep_largest(losses_of_flow(probe, mask), mask, keep)


def losses_of_flow(probe: Probe, mask: Mask) -> dict[str, Tensor]:
    """``weight * (Hessian gradient)``: what half the squared norm loses with each weight.

    The gradient is that of all parameters that are trained, so it counts neither weights that
    are pruned already nor only those that can be pruned.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    # The fused kernels of attention have no second derivative.
    with sdpa_kernel(SDPBackend.MATH):
        gradient = probe.gradient(list(probe.parameters))
        for name in mask:
            gradient[name].mul_(mask[name].to(gradient[name].device))
        curvature = probe.summed(_slopes(probe, gradient), list(mask))
    return {name: curvature[name].mul_(probe.parameters[name].detach()) for name in mask}


def _slopes(probe: Probe, direction: dict[str, Tensor]) -> Iterator[Tensor]:
    """Parts, one a batch, of the loss's slope in a fixed ``direction``; their gradient is H d."""
    import torch

    names = list(direction)
    for loss in probe.losses():
        gradient = torch.autograd.grad(
            loss,
            [probe.parameters[name] for name in names],
            create_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        products = [(g * direction[n]).sum() for n, g in zip(names, gradient, strict=True)]
        yield torch.stack(products).sum()
