"""Made-up samples and features."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from mu.checkpoints import forget_split
from mu.evaluation.depth.samples import Features, Samples
from mu.runs import Run
from tests.helpers import make_checkpoint, make_dataset

DATA = make_dataset(train=200, test=60, classes=4)


@cache
def make_samples(whole: tuple[int, ...], *, seed: int = 0) -> Samples:
    """Of a split of four classes; without ``whole`` a tenth of all is forgotten."""
    request = f"class:{','.join(map(str, whole))}" if whole else "random:10%"
    split = forget_split(make_checkpoint(DATA), DATA, request)
    return Samples.of(split, Run(device="cpu", seed=seed))


def make_features(samples: Samples, *, apart: float = 1.0, seed: int = 0) -> Features:
    """Noise around class means that are ``apart`` along six axes."""
    draws = np.random.default_rng(seed)

    def of(labels: torch.Tensor) -> torch.Tensor:
        noise = draws.normal(size=(len(labels), 6))
        return torch.from_numpy(noise + apart * np.eye(6)[labels.numpy()])

    parts = (samples.forgotten, samples.retained, samples.unseen)
    return Features(*(of(part.labels) for part in parts))
