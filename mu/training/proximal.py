"""The proximal step of the L1 norm, which sets weights to exactly zero.

References
----------
Daubechies, Defrise & De Mol (2004), An iterative thresholding algorithm for linear inverse
problems with a sparsity constraint, Communications on Pure and Applied Mathematics 57.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def soft_threshold(weights: Sequence[Tensor], threshold: float) -> None:
    """Pull all ``weights`` towards zero by ``threshold``, in place, and no further than zero.

    w becomes sign(w) max(|w| - threshold, 0). The host does not wait for the device.
    """
    # What is within the threshold equals its clamped self, and x - x is 0.0, never -0.0.
    near = torch._foreach_clamp_min(torch._foreach_clamp_max(list(weights), threshold), -threshold)
    torch._foreach_sub_(list(weights), near)
