"""Linear CKA against the definition by Gram matrices, and what it must not see."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mu.evaluation.depth.cka import linear_cka
from tests.helpers import laws

SEEDS = st.integers(0, 10_000)


def slow_cka(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), equation 3 of the paper with HSIC spelt out."""
    n = len(one)
    centre = np.eye(n) - np.ones((n, n)) / n

    def hsic(k: NDArray[np.float64], gram: NDArray[np.float64]) -> float:
        return float(np.trace(k @ centre @ gram @ centre) / (n - 1) ** 2)

    k, gram = one @ one.T, other @ other.T
    return hsic(k, gram) / math.sqrt(hsic(k, k) * hsic(gram, gram))


def drawn(seed: int, n: int = 12, d: int = 4, e: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    """Features that have something in common."""
    rng = np.random.default_rng(seed)
    one = rng.normal(size=(n, d)) + rng.normal(size=d) * 3
    other = one @ rng.normal(size=(d, e)) + rng.normal(size=(n, e))
    return torch.from_numpy(one), torch.from_numpy(other)


@laws()
@given(SEEDS, st.integers(2, 30), st.integers(1, 9), st.integers(1, 9))
def test_it_is_the_papers(seed: int, n: int, d: int, e: int) -> None:
    one, other = drawn(seed, n, d, e)
    found = linear_cka(one, other)
    assert found == pytest.approx(slow_cka(one.numpy(), other.numpy()), rel=1e-6, abs=1e-9)
    assert -1e-9 <= found <= 1 + 1e-9


@laws()
@given(SEEDS, st.floats(1e-60, 1e60), st.booleans())
def test_rotation_mirroring_scale_and_place_do_not_matter(
    seed: int, scale: float, flip: bool
) -> None:
    one, other = drawn(seed)
    turn, _ = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(4, 4)))
    if flip:
        turn[:, 0] *= -1
    moved = scale * (one @ torch.from_numpy(turn) + 5)
    assert linear_cka(moved, other) == pytest.approx(linear_cka(one, other), rel=1e-6)
    assert linear_cka(other, moved) == pytest.approx(linear_cka(one, other), rel=1e-6)
    assert linear_cka(one, moved) == pytest.approx(1, rel=1e-9)


@laws()
@given(SEEDS)
def test_equal_features_give_exactly_one(seed: int) -> None:
    one, _ = drawn(seed)
    assert linear_cka(one, one.clone()) == 1


def test_features_that_are_all_the_same_have_none() -> None:
    same = torch.full((9, 4), 0.1, dtype=torch.float64)
    assert math.isnan(linear_cka(same, drawn(1, n=9)[0]))
    assert math.isnan(linear_cka(drawn(1, n=9)[0], same))


def test_features_of_other_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="12 samples"):
        linear_cka(drawn(1)[0], drawn(1, n=11)[0])
