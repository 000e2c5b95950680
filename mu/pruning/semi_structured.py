"""N:M pruning: of every M weights in a row, at most N are kept, as GPUs' sparse kernels want it.

References
----------
Mishra et al. (2021), Accelerating Sparse Deep Neural Networks, arXiv:2104.08378. Zhou et al.
(2021), Learning N:M Fine-grained Structured Sparse Neural Networks From Scratch, ICLR.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu.hyperparameters import changed, setting
from mu.pruning.base import Pruner, PruningContext

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mu.masks import Mask


@dataclass(frozen=True)
class SemiStructured(Pruner):
    """Keep the largest of every ``group`` weights along the input channels.

    First the largest of every group, then the second ones, and so on, and of those of the last
    place that is kept the larger ones. So a rate of 0.5 keeps at most 2 of 4 in every group, and
    0.75 at most 1 of 4; and every higher rate keeps to the pattern, too. A group at the end of a
    row may be smaller. Numbers without inputs, as biases in the scope ``all``, are groups of one.
    """

    name = "nm"
    aliases = ("2:4",)

    rate: float = changed(Pruner, "rate", 0.5)
    group: int = setting(
        4, help="M: how many weights are a group; N is what rate leaves of it", low=2, high=1024
    )

    def choose(self, model: nn.Module, mask: Mask, keep: int, context: PruningContext) -> Mask:
        """See :meth:`Pruner.choose`; looks at the weights alone."""
        from mu.pruning.scoring.ranking import keep_largest

        weights = dict(model.named_parameters())
        sizes = {
            name: weights[name].detach().cpu().double().abs().where(mask[name], -1.0)
            for name in mask
        }
        most = 1 + max(float(size.max()) for size in sizes.values())
        # A place in the group outweighs any size: sizes are scaled to less than one place.
        scores = {name: size / most - _places(size, self.group) for name, size in sizes.items()}
        return keep_largest(scores, mask, keep)


def _places(sizes: Tensor, group: int) -> Tensor:
    """The place of each weight in its group, 0 for the largest; in the shape of ``sizes``."""
    from torch.nn.functional import pad

    if sizes.ndim < 2:
        return sizes * 0
    rows = sizes.movedim(1, -1)
    filled = pad(rows, (0, -rows.shape[-1] % group), value=-2.0)  # after all that are there
    order = filled.reshape(-1, group).argsort(dim=-1, descending=True, stable=True)
    places = order.argsort(dim=-1).reshape(filled.shape)[..., : rows.shape[-1]]
    return places.movedim(-1, 1)
