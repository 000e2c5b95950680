"""One contract suite over every pruner: counts, masks, seeds, and what must stay as it was."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

from mu.masks import Mask
from mu.pruning import PRUNERS, make_pruner, pruner_class
from mu.pruning.base import SCOPES
from mu.runs import Run
from tests.declared import declared
from tests.helpers import bits, refused, same_masks
from tests.pruning.networks import DATA, DATASET, Net, dense, half

QUICK = {"samples": 9, "iterations": 3}
RATES = [0.0, 0.3, 0.5, 0.9, 0.95, 0.99, 0.999]


@pytest.fixture(params=sorted(PRUNERS))
def name(request):
    return request.param


def is_structured(name):
    return declared(pruner_class(name), "STRUCTURED", False)


def pruner(name, **settings):
    """The pruner, with few samples and iterations where it has such a setting."""
    known = pruner_class(name).names()
    quick = {key: value for key, value in QUICK.items() if key in known}
    return make_pruner(name, quick | settings)


def prune(name, model, mask, *, run=None, seed=0, keep=None, data=DATA, **settings):
    run = run or Run(device="cpu")
    return pruner(name, **settings).prune(model, mask, data, run, keep=keep, seed=seed)


def inside(one, other):
    """Whether ``one`` keeps nothing that ``other`` prunes."""
    return list(one) == list(other) and all(not (one[key] & ~other[key]).any() for key in one)


def largest_filter(mask):
    return max(int(mask[key].reshape(len(mask[key]), -1).sum(1).max()) for key in mask)


def assert_count(name, found, keep, before):
    if is_structured(name):
        assert abs(found.kept - keep) <= largest_filter(before)
    else:
        assert found.kept == keep


# --- how many, and which ------------------------------------------------------------------


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("start", [dense, half])
def test_as_many_are_kept_as_asked_all_of_them_kept_before(name, rate, start):
    model = Net()
    mask = start(model)

    found = prune(name, model, mask, rate=rate)

    assert_count(name, found, mask.kept - round(rate * mask.kept), mask)
    assert inside(found, mask)


@pytest.mark.parametrize("scope", SCOPES)
def test_any_scope_can_be_pruned(name, scope):
    model = Net()
    mask = dense(model, scope)

    found = prune(name, model, mask, rate=0.8)

    assert_count(name, found, mask.kept - round(0.8 * mask.kept), mask)


def test_the_counts_of_several_rounds_are_those_of_the_whole(name):
    model = Net()
    mask = dense(model)
    for after_round in range(1, 5):
        keep = pruner(name, rate=0.37).keeps(mask.total, after_round)
        assert keep == mask.total - round(mask.total * (1 - (1 - 0.37) ** after_round))

        found = prune(name, model, mask, keep=keep)

        assert_count(name, found, keep, mask)
        assert inside(found, mask)
        mask = found
        mask.apply(model)


def test_nothing_and_all_can_be_kept(name):
    model = Net()
    mask = half(model)

    assert prune(name, model, mask, keep=0).kept == 0
    assert same_masks(prune(name, model, mask, keep=mask.kept), mask)


@pytest.mark.parametrize("keep", [-1, 10**6])
def test_other_counts_are_errors_of_the_program(name, keep):
    with pytest.raises(ValueError, match="cannot keep"):
        prune(name, Net(), dense(Net()), keep=keep)


def test_what_pruned_weights_hold_does_not_matter(name):
    model = Net()
    mask = half(model)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for key in mask:
            other.get_parameter(key)[~mask[key]] = 1e3

    assert same_masks(prune(name, model, mask), prune(name, other, mask))


# --- seeds --------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_mask(name):
    model = Net()
    mask = dense(model)
    first = prune(name, model, mask, seed=5, rate=0.5)

    torch.manual_seed(99)
    assert same_masks(prune(name, model, mask, seed=5, rate=0.5), first)
    by_run = prune(name, model, mask, run=Run(device="cpu", seed=5), seed=None, rate=0.5)
    assert same_masks(by_run, first)


def test_another_seed_gives_another_mask_where_something_is_drawn(name):
    model = Net()
    mask = dense(model)

    found = [prune(name, model, mask, seed=seed, rate=0.5) for seed in (5, 6)]

    assert same_masks(*found) != (declared(pruner_class(name), "DRAWS", False))


# --- what must stay as it was -------------------------------------------------------------


def state_of(model):
    """All that a pruner could have touched, as bytes and plain values."""
    return (
        {key: bits(value).tobytes() for key, value in model.state_dict().items()},
        [module.training for module in model.modules()],
        [(one.requires_grad, bits(one.grad).tobytes()) for one in model.parameters()],
        [(id(one), one.stride()) for one in model.parameters()],
        [(id(module), len(module._forward_hooks)) for module in model.modules()],
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_the_network_is_left_as_it_was(name, training, frozen):
    model = Net().train(training)
    model.drop.train(not training)
    for number, parameter in enumerate(model.parameters()):
        parameter.grad = torch.full_like(parameter, number)
        parameter.requires_grad_(not frozen or number % 2 == 0)
    mask = half(model)  # not applied: the weights that it prunes must survive, too
    before, fingerprint, pixels = state_of(model), mask.fingerprint, DATASET.train.pixels.clone()

    prune(name, model, mask)

    assert state_of(model) == before
    assert Mask(mask).fingerprint == fingerprint
    assert torch.equal(DATASET.train.pixels, pixels)


def test_no_global_generator_is_drawn_from(name):
    model = Net()
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()

    prune(name, model, dense(model))

    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == states[1:]


def test_mixed_precision_has_no_say(name):
    model = Net()
    mask = dense(model)
    runs = [Run(device="cpu", precision=precision) for precision in ("fp32", "bf16")]

    assert same_masks(*(prune(name, model, mask, run=run, rate=0.5) for run in runs))


# --- errors -------------------------------------------------------------------------------


def test_weights_that_are_no_numbers_are_refused(name):
    model = Net()
    with torch.no_grad():
        model.conv2.weight[0, 0, 0, 0] = torch.nan
    if name == "random":  # looks at no weight
        assert prune(name, model, dense(model), rate=0.5).kept
        return

    with refused("not finite", "diverged"):
        prune(name, model, dense(model), rate=0.5)


def test_a_mask_of_another_network_is_refused(name):
    with refused("the mask names 'hidden.weight'"):
        prune(name, nn.Sequential(nn.Linear(3, 3)), Mask({"hidden.weight": torch.ones(1) > 0}))


def test_a_collapsed_layer_is_named_or_refused(name):
    model = Net()
    mask = dense(model)
    run = Run(device="cpu")

    found = prune(name, model, mask, run=run, keep=1 if not is_structured(name) else 9)

    empty = [key for key in mask if not found[key].any()]
    assert empty
    assert len([note for note in run.notes if "leaves no weight in" in note]) == 1
    assert all(key in run.notes[-1] for key in empty)
    with refused("leaves no weight in", empty[0], "on_collapse=warn"):
        prune(name, model, mask, keep=1 if not is_structured(name) else 9, on_collapse="refuse")


# --- settings -----------------------------------------------------------------------------


def test_the_moment_is_that_of_the_paper(name):
    initial = {"random", "snip", "grasp", "synflow"}

    assert make_pruner(name).when == ("initial" if name in initial else "trained")


def test_settings_are_refused_out_of_range(name):
    for setting in {"samples", "iterations", "rounds"} & set(pruner_class(name).names()):
        with refused(f"{setting}=0", "at least 1"):
            make_pruner(name, {setting: 0})
