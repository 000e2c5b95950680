"""Products with the inverse Fisher information, against the matrix written out and inverted."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from mu.fisher import inverse
from mu.fisher.free import FreeWeights
from mu.fisher.inverse import Samples, conjugate_gradients, woodbury
from mu.masks import Mask
from mu.runs import Run
from tests.fisher import slow
from tests.helpers import make_dataset, random_mask
from tests.pruning.networks import smooth_net

DATASET = make_dataset(train=80, test=3, classes=3, size=4)
SETTINGS = {
    "dense": ({}, 0.1),
    "masked": ({"kept": 0.4}, 0.1),
    "little damping": ({}, 1e-4),
    "much damping": ({"kept": 0.4}, 100.0),
}


class Problem:
    """A small network, samples, a vector, and what F^-1 v must be."""

    def __init__(self, count, kept=1.0, kind=torch.float64, chunk_size=40, model=None):
        self.model = (smooth_net() if model is None else model).to(kind)
        self.mask = random_mask(self.model, ["0.weight", "4.weight", "6.weight"], kept=kept)
        self.mask.apply(self.model)
        self.data = DATASET.training_subset(np.arange(count))
        self.run = Run(device="cpu")
        free = FreeWeights(self.model, self.mask)
        self.samples = Samples(self.model, free, self.data, self.run, chunk_size)
        draws = torch.Generator().manual_seed(0)
        self.vector = torch.randn(free.size, generator=draws).to(kind)

    def expected(self, damping):
        exact = copy.deepcopy(self.model).double()
        gradients = slow.loss_gradients(exact, self.mask, self.data)
        return torch.linalg.inv(slow.damped(gradients, damping)) @ self.vector.double()


def solve(solver, problem, damping):
    if solver is woodbury:
        return woodbury(problem.samples, problem.vector, damping)
    return conjugate_gradients(
        problem.samples, problem.vector, damping, steps=1000, tolerance=1e-12
    )


@pytest.mark.parametrize("solver", [woodbury, conjugate_gradients])
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("count", [1, 7, 80])
def test_it_is_the_inverse(solver, settings, count):
    made, damping = SETTINGS[settings]
    problem = Problem(count, **made)
    assert 7 < problem.samples.free.size < 80
    found = solve(solver, problem, damping)
    assert slow.error(found, problem.expected(damping)) < 1e-8
    assert problem.run.notes == []


@pytest.mark.parametrize("solver", [woodbury, conjugate_gradients])
def test_no_weight_but_the_unprunable_ones_is_free(solver):
    problem = Problem(7, kept=0.0)
    assert problem.samples.free.size == 2 + 2 + 2 + 3 + 3  # biases and normalisation
    assert slow.error(solve(solver, problem, 0.1), problem.expected(0.1)) < 1e-8


@pytest.mark.parametrize("chunk_size", [1, 3, 20])
@pytest.mark.parametrize("rows", [None, 1, 2, 7, 19, 20, 100])
def test_it_matters_neither_what_is_held_nor_what_is_looked_at_together(
    chunk_size, rows, monkeypatch
):
    monkeypatch.setattr(inverse, "BLOCK", 5)
    problem = Problem(20, kept=0.7, chunk_size=chunk_size)
    found = woodbury(problem.samples, problem.vector, 0.1, rows)
    assert slow.error(found, problem.expected(0.1)) < 1e-8


class Picky(nn.Module):
    """It is not to be asked about no images at all."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(16, 3)

    def forward(self, images):
        return self.head(images.view(len(images), -1))


@pytest.mark.parametrize("rows", [None, 4, 9])
def test_no_batch_is_empty_and_none_is_looked_at_in_vain(rows):
    model, run = Picky().double(), Run(device="cpu")
    free = FreeWeights(model, Mask({}))
    samples = Samples(model, free, DATASET.training_subset(np.arange(9)), run, 3)
    woodbury(samples, torch.ones(free.size, dtype=torch.float64), 0.1, rows)
    assert run.samples_seen == {None: 9, 9: 9, 4: 9 + 5 + 1 + 9}[rows]


@pytest.mark.parametrize("solver", [woodbury, conjugate_gradients])
def test_the_vector_is_only_read(solver):
    problem = Problem(20)
    before = problem.vector.clone()
    solve(solver, problem, 0.1)
    woodbury(problem.samples, problem.vector, 0.1, 7)
    assert torch.equal(problem.vector, before)


def test_no_more_gradients_are_held_than_allowed(monkeypatch):
    problem, sizes = Problem(20, chunk_size=2), []
    held = Samples.whole

    def whole(samples):
        sizes.append(len(samples))
        return held(samples)

    monkeypatch.setattr(Samples, "whole", whole)
    woodbury(problem.samples, problem.vector, 0.1, 7)
    assert sizes == [7, 7, 6]


@pytest.mark.parametrize("solver", [woodbury, conjugate_gradients])
@pytest.mark.parametrize("settings", SETTINGS)
def test_single_precision(solver, settings):
    made, damping = SETTINGS[settings]
    problem = Problem(30, kind=torch.float32, **made)
    found = solver(problem.samples, problem.vector, damping)
    assert found.dtype == torch.float32
    assert slow.error(found.double(), problem.expected(damping)) < 1e-4


def test_chunks_are_the_gradients_of_the_loss_a_sample_a_row():
    problem = Problem(20, kept=0.5, chunk_size=7)
    expected = slow.loss_gradients(problem.model, problem.mask, problem.data)
    one_by_one = torch.cat([chunk.clone() for chunk in problem.samples.chunks()])
    assert slow.error(one_by_one, expected) < 1e-10
    together = torch.full_like(expected, torch.nan)
    for _ in problem.samples.chunks(together):
        pass
    assert torch.equal(together, one_by_one)
    assert problem.run.samples_seen == 2 * len(problem.samples) == 40


def sure(kind):
    """A network that gives every image one class and the others exactly no probability."""
    model = smooth_net().to(kind)
    for parameter in model[6].parameters():
        nn.init.zeros_(parameter)
    model[6].bias.data[1] = 1e4
    return model


@pytest.mark.parametrize("solver", [woodbury, conjugate_gradients])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_without_any_gradient_the_vector_stays_as_it_is(solver, kind):
    labels = DATASET.train.labels.numpy()
    problem = Problem(5, kind=kind, model=sure(kind))
    data = DATASET.training_subset(np.flatnonzero(labels == 1)[:5])
    samples = Samples(problem.model, problem.samples.free, data, Run(device="cpu"), 3)
    assert not any(chunk.any() for chunk in samples.chunks())
    assert torch.equal(solver(samples, problem.vector, 0.1), problem.vector)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
@pytest.mark.parametrize("solver", [woodbury, conjugate_gradients])
def test_the_damping_is_relative(solver, scale):
    """Gradients that are ``scale`` times as long make F^-1 v ``scale``^-2 times as long."""

    class Scaled(Samples):
        def chunks(self, into=None):
            for chunk in super().chunks(into):
                yield chunk.mul_(scale)

    problem = Problem(9)
    fields = [getattr(problem.samples, name) for name in problem.samples.__dataclass_fields__]
    found = solver(Scaled(*fields), problem.vector, 0.1)
    assert slow.error(found * scale**2, solver(problem.samples, problem.vector, 0.1)) < 1e-5


def test_conjugate_gradients_say_where_their_steps_did_not_suffice():
    problem = Problem(80)
    found = conjugate_gradients(problem.samples, problem.vector, 1e-4, steps=3)
    (note,) = problem.run.notes
    matrix = slow.damped(slow.loss_gradients(problem.model, problem.mask, problem.data), 1e-4)
    left = float((problem.vector - matrix @ found).norm() / problem.vector.norm())
    assert f"stopped after 3 steps, {100 * left:.2g} % of the vector left" in note
    assert "higher damping" in note


def test_conjugate_gradients_need_no_more_than_a_chunk_of_gradients():
    problem = Problem(20, chunk_size=5)
    sizes = {tuple(chunk.shape) for chunk in problem.samples.chunks()}
    places = {chunk.data_ptr() for chunk in problem.samples.chunks()}
    assert sizes == {(5, problem.samples.free.size)}
    assert len(places) == 1


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_half_of_the_free_memory_is_for_gradients(kind, monkeypatch):
    """Those that are held, a chunk, and what the chunk is made of."""
    problem = Problem(20, kept=0.5, kind=kind, chunk_size=3)
    one = problem.samples.free.size * (4 if kind == torch.float32 else 8)
    for gradients, rows in ((1000, 20), (26, 20), (25, 19), (13, 7), (9, 3), (7, 3), (0, 3)):
        monkeypatch.setattr(inverse, "free_bytes", lambda _device, n=gradients: 2 * n * one)
        assert problem.samples.rows_that_fit() == rows
