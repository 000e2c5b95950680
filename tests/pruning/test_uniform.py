"""Random pruning: every weight with the same chance, whatever its layer and its value."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2
from torch import nn

from mu.masks import Mask
from mu.pruning.uniform import Random
from mu.runs import Run
from tests.helpers import as_arrays, laws, same_masks
from tests.pruning.networks import DATA

SHAPES = {"small": (3,), "square": (4, 4), "wide": (2, 3, 5)}
SEEDS = 600
DRAWS = True  # of the contract tests


def network():
    """One layer of huge weights, one of tiny ones, one of zeros."""
    sizes = {"small": 1e6, "square": 1e-6, "wide": 0.0}
    values = {name: torch.full(SHAPES[name], size) for name, size in sizes.items()}
    model = nn.ParameterDict({name: nn.Parameter(value) for name, value in values.items()})
    return model, Mask.dense(model, list(SHAPES))


def kept_by(seed, keep, mask=None):
    model, all_of_them = network()
    mask = mask or all_of_them
    return Random().prune(model, mask, DATA, Run(device="cpu"), keep=keep, seed=seed)


def flat(mask):
    return np.concatenate([array.reshape(-1) for array in as_arrays(mask).values()])


def test_every_weight_is_kept_equally_often():
    keep = 14
    total = 49
    counts = sum(flat(kept_by(seed, keep)).astype(int) for seed in range(SEEDS))

    share = keep / total
    # The counts of one seed add up to ``keep``, so their covariance has rank total - 1.
    statistic = ((counts - SEEDS * share) ** 2).sum() / (SEEDS * share * (1 - share))
    statistic *= (total - 1) / total
    assert chi2.ppf(1e-4, total - 1) < statistic < chi2.ppf(1 - 1e-4, total - 1)


def test_every_pair_of_weights_is_kept_equally_often():
    keep, total = 14, 49
    flags = np.stack([flat(kept_by(seed, keep)) for seed in range(SEEDS)]).astype(float)
    together = (flags.T @ flags)[np.triu_indices(total, 1)]

    share = keep / total * (keep - 1) / (total - 1)
    deviation = np.sqrt(SEEDS * share * (1 - share))
    assert abs(together.mean() - SEEDS * share) < 1e-6
    assert abs(together - SEEDS * share).max() < 5 * deviation
    assert 0.8 < together.std() / deviation < 1.2


@laws()
@given(seed=st.integers(0, 99), keeps=st.lists(st.integers(0, 49), min_size=1, max_size=4))
def test_several_rounds_keep_what_one_to_the_last_count_would(seed, keeps):
    mask = None
    for keep in sorted(keeps, reverse=True):
        mask = kept_by(seed, keep, mask)

    assert same_masks(mask, kept_by(seed, min(keeps)))
