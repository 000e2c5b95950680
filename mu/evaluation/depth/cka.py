"""Linear CKA: how alike two networks represent the same samples.

References
----------
Kornblith, Norouzi, Lee & Hinton (2019), Similarity of Neural Network Representations Revisited,
ICML, arXiv:1905.00414, equation 4 with linear kernels.
"""

from __future__ import annotations

import torch
from torch import Tensor


def linear_cka(one: Tensor, other: Tensor) -> float:
    """Linear centred kernel alignment of two sets of features of the same samples, 0-1.

    ``|Y'X|^2 / (|X'X| |Y'Y|)`` in Frobenius norms, ``X`` and ``Y`` being the features without
    their means. 1 where one is the other rotated, mirrored or scaled as a whole. Of independent
    features it is not 0 but about d / (n + d), d being how many directions they fill: with few
    samples it flatters, so compare it with that of another pair on the same samples.

    ValueError if they are of different numbers of samples. NaN where all samples have the same
    features. ``one`` and ``other``: of shape (n_samples, n_features) and (n_samples, m_features).
    """
    if len(one) != len(other):
        raise ValueError(f"features of {len(one)} samples cannot be compared with {len(other)}")
    x, y = (_centred(features.double()) for features in (one, other))
    shared, own, theirs = ((a.T @ b).square().sum() for a, b in ((x, y), (x, x), (y, y)))
    # The root of the product, so that equal features give exactly 1.
    return float(shared / torch.sqrt(own * theirs))


def _centred(features: Tensor) -> Tensor:
    """Without the mean, and of a size whose fourth power is a number; zeros where all are equal."""
    different = features - features[:1]  # exactly 0 where all are equal, which a mean is not
    centred = different - different.mean(0)
    return centred / centred.abs().max().clamp(min=torch.finfo(centred.dtype).tiny)
