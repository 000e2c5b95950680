"""Sharpness-aware minimisation against the papers' formulas, computed by hand in float64."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mu.data import load_data
from mu.data.batches import Batches
from mu.masks import Mask
from mu.runs import Run
from mu.training import Training
from mu.training.loop import train
from mu.training.sam import ascended
from tests.helpers import bits, laws
from tests.training.networks import Exact, small

DATA = load_data("digits").training_subset(np.arange(200, 220))
IMAGES, LABELS = next(Batches(DATA, 20, torch.device("cpu")).in_order())
MASKED = ("network.0.weight", "network.3.weight")
RHO = 0.1


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Exact(
            nn.Sequential(
                nn.Conv2d(1, 2, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(2 * 9, 10)
            )
        )


def random_mask(model, seed=1):
    draws = torch.Generator().manual_seed(seed)
    parameters = dict(model.named_parameters())
    return Mask({n: torch.rand(parameters[n].shape, generator=draws) < 0.5 for n in MASKED})


def whole_batches(**changes):
    """Every step sees all samples, so their order does not matter."""
    plain = {"epochs": 3, "lr": 0.2, "batch_size": 20, "schedule": "constant", "augment": "none"}
    return Training(**{**plain, **changes})


def weights_of(model):
    return {name: one.detach().clone() for name, one in model.named_parameters()}


def gradient_at(model, weights, mask):
    """The gradient of the mean cross-entropy over all samples, zero where the mask is."""
    inputs = {name: one.clone().requires_grad_() for name, one in weights.items()}
    loss = F.cross_entropy(torch.func.functional_call(model, inputs, IMAGES), LABELS)
    found = torch.autograd.grad(loss, list(inputs.values()))
    return {
        name: one * mask[name] if mask is not None and name in mask else one
        for name, one in zip(inputs, found, strict=True)
    }


def length(tensors):
    """The Euclidean norm of all of them together."""
    return math.sqrt(sum(float(value) ** 2 for one in tensors for value in one.flatten()))


def way_up(weights, gradient, rho, adaptive):
    """The e of SAM, equation 2, or of ASAM, equation 9."""
    if not adaptive:
        norm = length(gradient.values())
        return {name: rho * one / norm for name, one in gradient.items()}
    norm = length(weights[name].abs() * one for name, one in gradient.items())
    return {name: rho * weights[name] ** 2 * one / norm for name, one in gradient.items()}


def by_hand(model, training, mask):
    """Each step of training: e, the gradient at w + e, and from w a step of heavy-ball descent."""
    weights = weights_of(model)
    velocity = {name: torch.zeros_like(one) for name, one in weights.items()}
    for _ in range(training.epochs):
        here = gradient_at(model, weights, mask)
        step = way_up(weights, here, training.sam_rho, training.sam_adaptive)
        above = {name: one + step[name] for name, one in weights.items()}
        there = gradient_at(model, above, mask)
        for name in weights:
            pull = there[name] + training.weight_decay * weights[name]
            velocity[name] = training.momentum * velocity[name] + pull
            weights[name] = weights[name] - training.lr * velocity[name]
    return weights


@laws(30)
@given(
    rho=st.floats(0.01, 1.0),
    adaptive=st.booleans(),
    masked=st.booleans(),
    momentum=st.sampled_from([0.0, 0.9]),
    decay=st.sampled_from([0.0, 0.05]),
    seed=st.integers(0, 99),
)
def test_training_takes_the_papers_steps(rho, adaptive, masked, momentum, decay, seed):
    model = network(seed)
    mask = random_mask(model, seed) if masked else None
    if mask is not None:
        mask.apply(model)
    training = whole_batches(
        sam_rho=rho, sam_adaptive=adaptive, momentum=momentum, weight_decay=decay
    )
    expected = by_hand(model, training, mask)
    train(model, DATA, training, Run(device="cpu"), mask=mask)
    for name, one in model.named_parameters():
        assert torch.allclose(one.detach(), expected[name], rtol=1e-9, atol=1e-11), name
        if mask is not None and name in mask:
            assert not one.detach()[~mask[name]].any()


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_the_second_pass_is_at_w_plus_e(adaptive, masked):
    model = network()
    mask = random_mask(model) if masked else None
    seen = []
    model.register_forward_pre_hook(lambda *_: seen.append(weights_of(model)))
    training = whole_batches(epochs=2, sam_rho=RHO, sam_adaptive=adaptive, weight_decay=0.1)
    train(model, DATA, training, Run(device="cpu"), mask=mask)
    assert len(seen) == 4
    for below, above in (seen[:2], seen[2:]):
        steps = {name: above[name] - below[name] for name in below}
        expected = way_up(below, gradient_at(model, below, mask), RHO, adaptive)
        for name, one in steps.items():
            assert torch.allclose(one, expected[name], rtol=1e-9, atol=1e-12), name
        if adaptive:
            moved = (steps[name][below[name] != 0] for name in below)
            sizes = (below[name][below[name] != 0] for name in below)
            steps_of_size = [one / size for one, size in zip(moved, sizes, strict=True)]
            assert length(steps_of_size) == pytest.approx(RHO)
        else:
            # The norm is that of the masked gradient: what is pruned takes nothing of rho.
            assert length(steps.values()) == pytest.approx(RHO)
        if mask is not None:
            for name in mask:
                assert not steps[name][~mask[name]].any()
                assert not above[name][~mask[name]].any()


def test_numbers_are_those_at_w():
    """Loss and accuracy that are logged are those of the weights, not of the worst ones nearby."""
    model = network()
    expected = float(F.cross_entropy(model(IMAGES), LABELS).detach())
    run = Run(device="cpu")
    train(model, DATA, whole_batches(epochs=1, sam_rho=5.0), run)
    assert run.metrics["loss"] == pytest.approx(expected, rel=1e-6)


def test_rho_0_is_plain_training_with_one_pass_a_step():
    plain, none = network(), network()
    passes = []
    none.register_forward_pre_hook(lambda *_: passes.append(1))
    train(plain, DATA, whole_batches(), Run(device="cpu"))
    train(none, DATA, whole_batches(sam_rho=0.0, sam_adaptive=True), Run(device="cpu"))
    assert len(passes) == 3
    for one, other in zip(plain.parameters(), none.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_penalty_belongs_to_what_is_climbed():
    """A loss of zero leaves the penalty's gradient: e points along it, and so does the step."""
    model = network()
    weight = model.network[3].weight
    before = weight.detach().clone()
    training = whole_batches(epochs=1, lr=0.5, momentum=0.0, weight_decay=0.0, sam_rho=RHO)
    train(
        model,
        DATA,
        training,
        Run(device="cpu"),
        loss=lambda logits, _: 0 * logits.sum(),
        penalty=lambda _: (weight**2).sum(),
    )
    above = before + RHO * before / length([before])
    assert torch.allclose(weight.detach(), before - 0.5 * 2 * above)


# --- the block by itself ------------------------------------------------------------------

NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.just(-0.0)


@laws(60)
@given(
    weights=st.lists(NUMBERS, min_size=1, max_size=6),
    data=st.data(),
    rho=st.floats(1e-3, 1e3),
    adaptive=st.booleans(),
)
def test_afterwards_every_weight_is_what_it_was_to_the_bit(weights, data, rho, adaptive):
    model = nn.ParameterList([nn.Parameter(torch.tensor(weights)), nn.Parameter(torch.ones(2))])
    draws = st.lists(NUMBERS, min_size=len(weights), max_size=len(weights))
    model[0].grad = torch.tensor(data.draw(draws))
    before = [bits(one.detach().clone()) for one in model]
    with ascended(model, rho, adaptive=adaptive):
        assert torch.equal(model[1], torch.ones(2))  # it has no gradient
    for one, expected in zip(model, before, strict=True):
        assert np.array_equal(bits(one), expected)


def test_a_gradient_of_zero_is_no_way_up():
    for adaptive in (False, True):
        model = network()
        before = weights_of(model)
        for one in model.parameters():
            one.grad = torch.zeros_like(one)
        with ascended(model, RHO, adaptive=adaptive):
            for name, one in model.named_parameters():
                assert torch.equal(one, before[name])
        training = whole_batches(sam_rho=RHO, sam_adaptive=adaptive, weight_decay=0.0)
        flat = lambda logits, _: 0 * logits.sum()
        train(model, DATA, training, Run(device="cpu"), loss=flat)
        for name, one in model.named_parameters():
            assert torch.equal(one, before[name])


def test_the_adaptive_way_up_of_weights_that_are_all_zero_is_none():
    model = nn.ParameterList([nn.Parameter(torch.zeros(3))])
    model[0].grad = torch.ones(3)
    with ascended(model, RHO, adaptive=True):
        assert torch.equal(model[0], torch.zeros(3))


def test_without_any_gradient_nothing_moves():
    model = network()
    before = weights_of(model)
    with ascended(model, RHO):
        for name, one in model.named_parameters():
            assert torch.equal(one, before[name])


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt])
def test_an_exception_in_the_block_restores_all_the_same(kind):
    model = small()
    F.cross_entropy(model(IMAGES), LABELS).backward()
    before = weights_of(model)

    def fail():
        with ascended(model, RHO):
            assert not torch.equal(model.head.weight, before["head.weight"])
            assert not model.norm.track_running_stats
            raise kind

    with pytest.raises(kind):
        fail()
    assert model.norm.track_running_stats
    for name, one in model.named_parameters():
        assert np.array_equal(bits(one), bits(before[name]))


# --- batch normalisation ------------------------------------------------------------------


def test_running_statistics_of_several_steps_are_those_at_each_w():
    """A twin that passes over each step's weights once, in training mode, keeps the same ones."""
    model, twin = small(), small()
    seen = []
    model.register_forward_pre_hook(lambda *_: seen.append(copy.deepcopy(model.state_dict())))
    train(model, DATA, whole_batches(sam_rho=RHO), Run(device="cpu"))
    assert len(seen) == 6
    twin.train()
    for state in seen[::2]:  # the first pass of each step
        twin.load_state_dict({**twin.state_dict(), **{n: state[n] for n in weights_of(twin)}})
        twin(IMAGES)
    for name, value in twin.named_buffers():
        assert torch.allclose(value, dict(model.named_buffers())[name], atol=1e-6), name


def test_normalisation_by_the_batch_is_the_same_in_the_block():
    """Only the keeping of statistics is off: outputs are normalised by the batch all the same."""
    model = small().train()
    F.cross_entropy(model(IMAGES), LABELS).backward()
    with ascended(model, RHO):
        above = copy.deepcopy(model)
        inside = model(IMAGES)
    for one in above.modules():
        if isinstance(one, nn.BatchNorm2d):
            one.track_running_stats = True
    assert torch.equal(inside, above(IMAGES))


def test_layers_that_keep_their_statistics_fixed_still_use_them():
    """Whoever freezes normalisation in evaluation mode gets it from the running statistics."""
    model = small()
    with torch.no_grad():
        model.norm.running_mean += 0.3
    model.train()
    model.norm.eval()
    F.cross_entropy(model(IMAGES), LABELS).backward()
    with ascended(model, RHO):
        signal = model.conv(IMAGES)
        mean, variance = (one[:, None, None] for one in (
            model.norm.running_mean, model.norm.running_var
        ))  # fmt: skip
        scale, shift = (one[:, None, None] for one in (model.norm.weight, model.norm.bias))
        expected = (signal - mean) / (variance + model.norm.eps).sqrt() * scale + shift
        assert torch.allclose(model.norm(signal), expected, atol=1e-5)
    assert float(model.norm.running_mean[0]) == pytest.approx(0.3)


def test_a_layer_that_never_keeps_statistics_still_does_not():
    model = nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False))
    with ascended(model, RHO):
        pass
    assert not model[0].track_running_stats
