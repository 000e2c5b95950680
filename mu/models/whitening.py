"""A convolution with fixed weights, which whitens the patches of the training images.

References
----------
Coates & Ng (2012), Learning Feature Representations with K-Means. Jordan (2024), 94% on CIFAR-10 in
3.29 Seconds on a Single GPU, arXiv:2404.00498, section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mu.data.batches import Batches
from mu.data.images import Subset
from mu.runs import generator

IMAGES = 5000  # that are looked at
EPSILON = 5e-4  # added to eigenvalues: what hardly varies is not blown up to noise
BATCH_SIZE = 512


class Whitening(nn.Conv2d):
    """A convolution without padding whose outputs are uncorrelated and of variance one, twice.

    Each eigenvector of the covariance of patches, over the root of its eigenvalue, is a filter, and
    so is its negative. The weights are a buffer, not a parameter: they are part of the state of the
    network, but nothing that trains, prunes or decays parameters moves them. The bias is trained.
    """

    weight: Tensor

    def __init__(self, in_channels: int, side: int, stride: int) -> None:
        super().__init__(in_channels, 2 * in_channels * side**2, side, stride)
        drawn = self.weight.detach()
        del self.weight
        self.register_buffer("weight", drawn)

    @torch.no_grad()
    def fit(self, covariance: Tensor) -> None:
        """Take the weights from the covariance of flattened patches, (n, n), float64."""
        values, vectors = torch.linalg.eigh(covariance)
        filters = (vectors / (values.clamp(min=0) + EPSILON).sqrt()).mT.flip(0)
        # Of a vector and its negative, the one whose largest entry is positive comes first.
        largest = filters.gather(1, filters.abs().argmax(1, keepdim=True))
        filters = filters * largest.sign()
        self.weight.copy_(torch.cat([filters, -filters]).view(self.weight.shape))


def patch_covariance(module: nn.Conv2d, subset: Subset) -> Tensor:
    """Covariance of the flattened patches that a convolution sees, (n, n), float64, on the CPU."""
    size = module.weight[0].numel()
    count, total, products = 0, torch.zeros(size).double(), torch.zeros(size, size).double()
    for images, _ in Batches(subset, BATCH_SIZE, torch.device("cpu")).in_order():
        found = nn.functional.unfold(images.double(), module.kernel_size, stride=module.stride)
        rows = found.transpose(0, 1).flatten(1)
        count, total, products = (
            count + rows.shape[1],
            total + rows.sum(1),
            products + rows @ rows.T,
        )
    mean = total / count
    return products / count - mean.outer(mean)


def fit_to(model: nn.Module, subset: Subset, seed: int) -> None:
    """Fit what is fixed in ``model`` to training images; ``seed`` draws which 5,000 are looked at.

    Only to those of ``subset``: an oracle must not know what its forget set looks like.
    """
    layers = [one for one in model.modules() if isinstance(one, Whitening)]
    if layers:
        drawn = subset.drawn(IMAGES, generator(seed, "images for whitening"))
        for one in layers:
            one.fit(patch_covariance(one, drawn))
