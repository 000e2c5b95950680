"""The prototypical relearning attack against loops over numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mu.evaluation.depth.prototype import SHOTS, prototype_accuracy, prototype_rows
from mu.evaluation.depth.samples import Features, Samples
from mu.models.head import Head
from tests.evaluation.depth.made import make_features, make_samples
from tests.helpers import laws


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def mean(vectors: list[list[float]]) -> list[float]:
    return [sum(values) / len(vectors) for values in zip(*vectors, strict=True)]


def slow_accuracy(head: nn.Linear, features: Features, samples: Samples) -> float:
    """The attack by the words of its docstring, a number at a time."""
    rows = head.weight.tolist()
    biases = [0.0] * len(rows) if head.bias is None else head.bias.tolist()
    centre = mean(features.retained.tolist())
    others = [row for row in range(len(rows)) if row not in samples.whole]
    length = sum(math.hypot(*rows[row]) for row in others) / len(others)
    level = sum(dot(rows[row], centre) + biases[row] for row in others) / len(others)
    labels = samples.forgotten.labels.tolist()
    for label in samples.whole:
        own = [features.forgotten[i].tolist() for i, one in enumerate(labels) if one == label]
        way = [a - b for a, b in zip(mean(own[:5]), centre, strict=True)]
        rows[label] = [length * value / math.hypot(*way) for value in way]
        biases[label] = level - dot(rows[label], centre)
    right = 0
    for one, label in zip(features.unseen.tolist(), samples.unseen.labels.tolist(), strict=True):
        logits = [dot(row, one) + bias for row, bias in zip(rows, biases, strict=True)]
        right += logits.index(max(logits)) == label
    return 100 * right / len(samples.unseen)


@laws(20)
@given(
    st.integers(0, 1000), st.sampled_from([(1,), (0, 3), (2, 3)]), st.booleans(), st.floats(0, 3)
)
def test_it_is_what_it_says(seed: int, whole: tuple[int, ...], bias: bool, apart: float) -> None:
    samples = make_samples(whole)
    features = make_features(samples, apart=apart, seed=seed)
    torch.manual_seed(seed)
    head = nn.Linear(6, 4, bias=bias)
    before = head.weight.detach().clone()
    expected = slow_accuracy(head, features, samples)
    assert prototype_accuracy(Head("fc", head), features, samples) == pytest.approx(expected)
    assert torch.equal(head.weight, before), "the head is left as it is"


def test_only_five_images_are_shown() -> None:
    samples = make_samples((1,))
    features = make_features(samples, apart=4)
    head = nn.Linear(6, 4)
    own = np.flatnonzero(samples.forgotten.labels.numpy() == 1)
    assert len(own) > SHOTS
    spoilt = features.forgotten.clone()
    spoilt[own[SHOTS:]] = 1e9
    again = replace(features, forgotten=spoilt)
    assert prototype_accuracy(Head("fc", head), again, samples) == prototype_accuracy(
        Head("fc", head), features, samples
    )


def test_the_centre_is_given_the_level_of_the_others_and_rows_are_as_long() -> None:
    rng = torch.Generator().manual_seed(4)
    weight, bias, centre, prototypes = (
        torch.randn(*shape, generator=rng, dtype=torch.float64)
        for shape in ((5, 3), (5,), (3,), (2, 3))
    )
    rows, biases = prototype_rows(weight, bias, [1, 4], prototypes, centre)
    kept = [0, 2, 3]
    assert torch.equal(rows[kept], weight[kept])
    assert torch.equal(biases[kept], bias[kept])
    logits = rows @ centre + biases
    torch.testing.assert_close(logits[[1, 4]], logits[kept].mean().expand(2))
    torch.testing.assert_close(rows[[1, 4]].norm(dim=1), weight[kept].norm(dim=1).mean().expand(2))


def test_where_no_class_is_forgotten_there_is_nothing_to_bring_back() -> None:
    samples = make_samples(())
    assert math.isnan(
        prototype_accuracy(Head("fc", nn.Linear(6, 4)), make_features(samples), samples)
    )
