"""Products with the inverse of the damped empirical Fisher information.

With the gradients g_i of m samples, F = lambda I + (1/m) sum_i g_i g_i'. It has as many rows as
the network has free weights, but all that F adds to lambda I lies in the span of m vectors, so

    F^-1 v = (v - G' (m lambda I + G G')^-1 G v) / lambda,     G of rows g_i

needs no more than an m by m matrix (Woodbury). Where G does not fit into memory, it is held a
block of rows at a time and the others are computed again for each block. With very many blocks,
conjugate gradients are cheaper: they go through the samples once for each step.

References
----------
Singh & Alistarh (2020), WoodFisher: Efficient Second-Order Approximation for Neural Network
Compression, NeurIPS. Their recursion is the same identity, one sample at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor, nn

from mu.data.batches import Batches
from mu.data.images import Subset
from mu.fisher.free import FreeWeights
from mu.fisher.per_sample import PerSample, evaluating, score
from mu.memory import free_bytes
from mu.runs import Run

BLOCK = 2**10  # columns of G that are held in double precision at a time
BANDS = 4  # into which the rows of a symmetric product are cut


@dataclass(frozen=True)
class Samples:
    """The gradients of the loss of some samples, by the free weights of a network."""

    model: nn.Module
    free: FreeWeights
    data: Subset  # the samples, with their labels
    run: Run
    chunk_size: int  # samples differentiated together; it bounds the memory, not the result

    def __len__(self) -> int:
        return len(self.data)

    @cached_property
    def _per_sample(self) -> PerSample:
        return PerSample(self.model)

    def part(self, start: int, stop: int) -> Self:
        """Some of the samples."""
        part = replace(self, data=replace(self.data, indices=self.data.indices[start:stop]))
        # What it has found out of the network holds for all.
        part.__dict__["_per_sample"] = self._per_sample
        return part

    def chunks(self, into: Tensor | None = None) -> Iterator[Tensor]:
        """Gradients of the cross-entropy, in matrices (n_samples, free weights).

        ``into``: where to put them, (all samples, free weights); without it each chunk is written
        over the one before.
        """
        if not len(self):
            return
        batches = Batches(self.data, self.chunk_size, self.run.device)
        first = next(self.model.parameters())
        spare, done = first.new_empty(0), 0
        with evaluating(self.model):
            for images, labels in batches.in_order():
                batch, count = self._per_sample.batch(images.to(first.dtype)), len(labels)
                if into is None and len(spare) < count:
                    spare = first.new_empty(count, self.free.size)
                target = spare[:count] if into is None else into[done : done + count]
                pieces = batch.gradients(-score(batch.logits, labels), last=True)
                yield self.free.rows(pieces, target)
                self.run.samples_seen += count
                done += count

    def whole(self) -> Tensor:
        """All gradients, a matrix (n_samples, free weights)."""
        matrix = next(self.model.parameters()).new_empty(len(self), self.free.size)
        for _ in self.chunks(matrix):
            pass
        return matrix

    def rows_that_fit(self) -> int:
        """How many gradients may be held at a time: those that fill half of the free memory."""
        one = self.free.size * next(self.model.parameters()).element_size()
        held = free_bytes(self.run.device) // (2 * one) - 2 * self.chunk_size
        return max(self.chunk_size, min(len(self), held))


def woodbury(samples: Samples, vector: Tensor, damping: float, rows: int | None = None) -> Tensor:
    """F^-1 v by solving an m by m system.

    ``vector``: v, of shape (free weights,). ``damping``: lambda, as a multiple of the mean of the
    diagonal of the Fisher information. ``rows``: how many gradients are held at a time, by default
    all. The result does not depend on it.
    """
    count = len(samples)
    rows = rows or count
    inner, met, held = _inner_products(samples, vector, rows)
    strength = _strength(damping, float(inner.trace()) / count, samples.free.size)
    inner.diagonal().add_(count * strength)
    solved = torch.cholesky_solve(met[:, None], torch.linalg.cholesky(inner))[:, 0]
    if rows >= count:
        return ((vector - combination(held, solved)) / strength).to(vector)
    rest, done = vector.double().clone(), 0
    for chunk in samples.chunks():
        rest -= combination(chunk, solved[done : done + len(chunk)])
        done += len(chunk)
    return (rest / strength).to(vector)


def _inner_products(samples: Samples, vector: Tensor, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """G G', G v and the last rows of G, of which no more than ``rows`` are held at a time."""
    count = len(samples)
    if rows >= count:  # the rest would come to the same, with another matrix of that size
        held = samples.whole()
        return products(held, held), products(held, vector[None])[:, 0], held
    # In double precision: where lambda is small, the rounding of single precision exceeds it.
    inner = torch.zeros(count, count, dtype=torch.float64, device=vector.device)
    met = torch.zeros(count, dtype=torch.float64, device=vector.device)
    held = vector.new_empty(0, samples.free.size)
    for start in range(0, count, rows):
        held = samples.part(start, start + rows).whole()
        stop = start + len(held)
        own = slice(start, stop)
        met[own] = products(held, vector[None])[:, 0]
        inner[own, own] = products(held, held)
        for chunk in samples.part(stop, count).chunks():
            beside = slice(stop, stop := stop + len(chunk))
            inner[beside, own] = products(chunk, held)
            inner[own, beside] = inner[beside, own].mT
    return inner, met, held


def products(one: Tensor, other: Tensor) -> Tensor:
    """``one @ other.mT`` in double precision, which only some columns at a time are held in."""
    if one is other:
        return _with_itself(one)
    result = torch.zeros(len(one), len(other), dtype=torch.float64, device=one.device)
    for (_, left), (_, right) in zip(_exact(one), _exact(other), strict=True):
        result.addmm_(left, right.mT)
    return result


def _with_itself(one: Tensor) -> Tensor:
    """``one @ one.mT``: symmetric, so that little more than half of it is worked out."""
    result = torch.zeros(len(one), len(one), dtype=torch.float64, device=one.device)
    band = -(-len(one) // BANDS)
    for _, exact in _exact(one):
        for first in range(0, len(one), band):
            rows = slice(first, first + band)
            result[rows, : first + band].addmm_(exact[rows], exact[: first + band].mT)
    return result.tril_().add_(result.tril(-1).mT)


def combination(rows: Tensor, weights: Tensor) -> Tensor:
    """``rows.mT @ weights`` in double precision, in the same way."""
    result = torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)
    for columns, exact in _exact(rows):
        torch.mv(exact.mT, weights, out=result[columns])
    return result


def _exact(matrix: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Some columns of ``matrix`` at a time, in double precision, each in the place of the last.

    One buffer for all: thousands of freed ones would leave the memory in pieces.
    """
    held = matrix.new_empty(len(matrix), min(BLOCK, matrix.shape[1]), dtype=torch.float64)
    for start in range(0, matrix.shape[1], BLOCK):
        columns = matrix[:, start : start + BLOCK]
        place = slice(start, start + columns.shape[1])
        yield place, held[:, : columns.shape[1]].copy_(columns)


def conjugate_gradients(
    samples: Samples, vector: Tensor, damping: float, *, steps: int = 100, tolerance: float = 1e-6
) -> Tensor:
    """F^-1 v, with the gradients of one chunk of samples in memory.

    ``vector`` and ``damping``: see :func:`woodbury`. ``steps``: at the most; each goes through all
    samples once. A note says where they do not suffice. ``tolerance``: of the residual, relative to
    v.
    """
    trace = sum(float(chunk.square().sum(dtype=torch.float64)) for chunk in samples.chunks())
    strength = _strength(damping, trace / len(samples), samples.free.size)

    def product(values: NDArray[np.float64]) -> NDArray[np.float64]:
        direction = torch.from_numpy(values).to(vector.device)
        result = torch.zeros_like(direction)
        for chunk in samples.chunks():
            met = products(chunk, direction[None])[:, 0]
            result += combination(chunk, met)
        found: NDArray[np.float64] = (result / len(samples)).cpu().numpy() + strength * values
        return found

    operator = LinearOperator((samples.free.size,) * 2, matvec=product, dtype=np.float64)
    right = vector.double().cpu().numpy()
    solved, failed = cg(operator, right, rtol=tolerance, maxiter=steps)
    if failed:
        rest = np.linalg.norm(right - product(solved)) / np.linalg.norm(right)
        samples.run.note(
            f"conjugate gradients stopped after {steps} steps, {100 * rest:.2g} % of the vector "
            "left; a higher damping needs fewer"
        )
    return torch.from_numpy(solved).to(vector)


def _strength(damping: float, trace: float, size: int) -> float:
    """lambda; 1 where a network is so sure of all samples that no gradient is left."""
    return damping * trace / size or 1.0
