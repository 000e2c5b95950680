"""Making an original: rewinding, and what each rate means."""

import torch

from mu.data import load_data
from mu.masks import Mask
from mu.originals import make_recipe, train_network, train_original
from mu.pruning.base import prunable
from mu.runs import Run
from mu.training import train

DATA = load_data("digits")


def recipe(**settings):
    defaults = {"epochs": 4, "train_size": 200, "rate": 0.8, "rewind_epoch": 1}
    return make_recipe(DATA, **{**defaults, **settings})


def training_set(one):
    from mu.checkpoints import DataSpec, Spec

    return DATA.training_subset(Spec(DataSpec.of(DATA), one).split(DATA).train)


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_rewinding_restores_weights_and_buffers_and_continues_the_schedule():
    """Step by step by hand: train, keep epoch 1, prune, go back, train on from epoch 1."""
    one = recipe()
    data = training_set(one)
    model, mask = train_network(one, data, Run())

    dense = one.model.build(one.seed)
    everything = Mask.dense(dense, prunable(dense))
    train(dense, data, one.training, Run())
    expected_mask = one.make_pruner().prune(dense, everything, data, Run())
    early = one.model.build(one.seed)
    train(early, data, one.training, Run(), stop_epoch=1)
    train(early, data, one.training, Run(), mask=expected_mask, start_epoch=1)

    assert mask == expected_mask
    assert equal(weights_of(model), weights_of(early))


def test_rewinding_to_epoch_0_is_the_lottery_ticket():
    one = recipe(rewind_epoch=0)
    data = training_set(one)
    model, mask = train_network(one, data, Run())
    ticket = one.model.build(one.seed)
    train(ticket, data, one.training, Run(), mask=mask)
    assert equal(weights_of(model), weights_of(ticket))


def test_rate_0_is_one_plain_training():
    one = recipe(rate=0.0)
    data = training_set(one)
    model, mask = train_network(one, data, Run())
    plain = one.model.build(one.seed)
    train(plain, data, one.training, Run())
    assert mask.is_dense
    assert equal(weights_of(model), weights_of(plain))


def test_sparsity_is_what_was_asked_and_holds_in_the_weights():
    checkpoint = train_original(DATA, recipe(rate=0.9), Run())
    assert checkpoint.mask.total - checkpoint.mask.kept == round(0.9 * checkpoint.mask.total)
    parameters = dict(checkpoint.model.named_parameters())
    for name in checkpoint.mask:
        assert not parameters[name].detach()[~checkpoint.mask[name]].any()


def test_the_recipes_seed_decides_not_the_runs():
    one = train_original(DATA, recipe(seed=3, rate=0.0), Run(seed=0))
    other = train_original(DATA, recipe(seed=3, rate=0.0), Run(seed=99))
    third = train_original(DATA, recipe(seed=4, rate=0.0), Run(seed=0))
    assert equal(weights_of(one.model), weights_of(other.model))
    assert not equal(weights_of(one.model), weights_of(third.model))


def test_steps_of_both_trainings_follow_each_other():
    run = Run()
    train_original(DATA, recipe(), run)
    assert [step for step, _ in run.history("loss")] == list(range(7))
    assert [step for step, _ in run.history("VA")] == list(range(7))
