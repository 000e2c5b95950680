"""Outputs made up for tests."""

import torch

from mu.evaluation.outputs import Outputs, SplitOutputs

SIZES = {"forget": 7, "retain": 23, "test": 12}


def outputs(samples=9, classes=4, seed=0, scale=3.0, labels_seed=99):
    """Random logits; the labels depend on the number of samples alone."""
    draws = torch.Generator().manual_seed(seed)
    labels = torch.Generator().manual_seed(labels_seed)
    return Outputs(
        scale * torch.randn(samples, classes, generator=draws, dtype=torch.float64),
        torch.randint(classes, (samples,), generator=labels),
    )


def look(seed=0, **kwargs):
    parts = {
        name: outputs(size, seed=1000 * seed + place, **kwargs)
        for place, (name, size) in enumerate(SIZES.items())
    }
    return SplitOutputs(**parts, test_forgotten=None)


def reordered(one, seed=0):
    """The same look at the same samples in another order, which the seed draws."""
    parts = {}
    for name, size in SIZES.items():
        order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
        parts[name] = getattr(one, name).select(order)
    return SplitOutputs(**parts, test_forgotten=None)
