"""The rounds of a recipe: their place in the schedule, where each starts, and what it hands on."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mu.originals.rounds
from mu.checkpoints import DataSpec, Spec
from mu.data import load_data
from mu.masks import Mask
from mu.originals.rounds import train_network
from mu.originals.train import make_recipe
from mu.recipes.recipe import Stage
from mu.runs import Run
from mu.training.loop import train
from tests.helpers import laws, prunable, random_mask
from tests.training.networks import PLAIN

DATA = load_data("digits")


def recipe(**settings):
    # Initial weights of another seed than that of the run, so that one is not taken for the other.
    defaults = {"seed": 3, "arch": PLAIN, "epochs": 4, "train_size": 200, "rate": 0.8}
    defaults |= {"batch_size": 50}
    return make_recipe(DATA, **{**defaults, **settings})


def training_set(one):
    return DATA.training_subset(Spec(DataSpec.of(DATA), one).split(DATA).train)


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Calls:
    """Every call of the loop: what it starts from, and what it leaves."""

    def __init__(self):
        self.starts, self.ends, self.arguments = [], [], []

    def train(self, model, data, training, run, **arguments):
        self.starts.append(weights_of(model))
        self.arguments.append(arguments)
        train(model, data, training, run, **arguments)
        self.ends.append(weights_of(model))

    def each(self, name):
        return [one[name] for one in self.arguments]

    @property
    def masks(self):
        return self.each("mask")


@pytest.fixture
def calls(monkeypatch):
    """The calls of the loop that the test makes."""
    seen = Calls()
    monkeypatch.setattr(mu.originals.rounds, "train", seen.train)
    return seen


# --- stages -------------------------------------------------------------------------------


@laws(200)
@given(
    epochs=st.integers(1, 60),
    rounds=st.integers(1, 8),
    rewind=st.sampled_from(["rewind_lt", "lt", "pt"]),
    data=st.data(),
)
def test_the_steps_of_all_rounds_follow_each_other(epochs, rounds, rewind, data):
    epoch = None
    if rewind == "rewind_lt":
        epoch = data.draw(st.none() | st.integers(0, epochs - 1))
    one = recipe(epochs=epochs, pruner="imp", rounds=rounds, rewind=rewind, rewind_epoch=epoch)
    stages = one.stages()
    assert [stage.round for stage in stages] == list(range(rounds + 1))
    start = one.rewinding.epoch(epochs)
    assert [stage.start_epoch for stage in stages] == [0, *[start] * rounds]
    steps = [
        stage.first_step + epoch for stage in stages for epoch in range(stage.start_epoch, epochs)
    ]
    assert steps == list(range(epochs + rounds * (epochs - start)))


@laws(40)
@given(epochs=st.integers(1, 60), rounds=st.integers(1, 8))
def test_whatever_needs_no_dense_training_is_one_stage(epochs, rounds):
    settings = {"epochs": epochs, "pruner": "imp", "rounds": rounds}
    assert recipe(**settings, when="initial").stages() == [Stage(rounds, 0, 0)]
    assert recipe(**settings).stages(mask_is_known=True) == [Stage(0, 0, 0)]
    assert recipe(**{**settings, "rate": 0.0}).stages() == [Stage(0, 0, 0)]
    assert recipe(**{**settings, "rate": 0.0}, when="initial").stages() == [Stage(0, 0, 0)]


@laws(60)
@given(
    epochs=st.integers(1, 60),
    rounds=st.integers(1, 8),
    rewind=st.sampled_from(["rewind_lt", "lt", "pt"]),
    when=st.sampled_from(["trained", "initial"]),
    data=st.data(),
)
def test_under_a_known_mask_weights_are_trained_as_long_as_the_originals_were(
    epochs, rounds, rewind, when, data
):
    """Counted back from the end: what was trained before weights were put back is not in them."""
    epoch = None
    if rewind == "rewind_lt" and when == "trained":
        epoch = data.draw(st.none() | st.integers(0, epochs - 1))
    settings = {"epochs": epochs, "rounds": rounds, "rewind": rewind, "rewind_epoch": epoch}
    one = recipe(pruner="imp", when=when, **settings)
    in_weights = 0
    for stage in one.stages():
        if rewind != "pt":
            in_weights = stage.start_epoch  # those that are put back are that old
        in_weights += epochs - stage.start_epoch
    known = one.stages(mask_is_known=True)
    assert sum(epochs - stage.start_epoch for stage in known) == in_weights
    assert in_weights == epochs * (1 + rounds if (rewind, when) == ("pt", "trained") else 1)


@pytest.mark.parametrize("rewind", ["rewind_lt", "lt", "pt"])
def test_the_loop_is_called_as_the_stages_say(calls, rewind):
    one = recipe(pruner="imp", rate=0.3, rounds=2, rewind=rewind)
    run, told = Run(device="cpu"), []
    train_network(one, training_set(one), run, after_round=lambda number, *_: told.append(number))
    stages = one.stages()
    assert told == [0, 1, 2]
    assert calls.each("start_epoch") == [stage.start_epoch for stage in stages]
    assert calls.each("first_step") == [stage.first_step for stage in stages]
    assert calls.each("optimizer_state") == [None] * 3  # a fresh one in each round
    total = 4 + 2 * (4 - stages[1].start_epoch)
    assert [step for step, _ in run.history("loss")] == list(range(total))


# --- rewinding ----------------------------------------------------------------------------


def test_rewinding_restores_weights_and_buffers_and_continues_the_schedule():
    """Step by step by hand: train, keep epoch 1, prune, go back, train on from epoch 1."""
    one = recipe(arch="resnet_mini", rewind_epoch=1)
    data = training_set(one)
    model, mask = train_network(one, data, Run(device="cpu"))

    dense = one.model.build(one.seed)
    everything = Mask.dense(dense, prunable(dense))
    train(dense, data, one.training, Run(device="cpu"))
    expected_mask = one.make_pruner().prune(dense, everything, data, Run(device="cpu"))
    early = one.model.build(one.seed)
    train(early, data, one.training, Run(device="cpu"), stop_epoch=1)
    train(early, data, one.training, Run(device="cpu"), mask=expected_mask, start_epoch=1)

    assert mask == expected_mask
    assert equal(weights_of(model), weights_of(early))


@pytest.mark.parametrize("epoch", [0, 1, 3])
@pytest.mark.parametrize("rounds", [1, 3])
def test_every_round_starts_at_the_weights_of_the_rewind_epoch(calls, epoch, rounds):
    """Weights, running statistics and their counts, to the bit, before the mask is applied."""
    one = recipe(pruner="imp", rate=0.3, rounds=rounds, rewind_epoch=epoch)
    data = training_set(one)
    train_network(one, data, Run(device="cpu"))
    early = one.model.build(one.seed)
    train(early, data, one.training, Run(device="cpu"), stop_epoch=epoch)
    assert len(calls.starts) == rounds + 1
    for start in calls.starts[1:]:
        assert equal(start, weights_of(early))
    assert int(calls.starts[1]["norm.num_batches_tracked"]) == 4 * epoch
    assert calls.each("start_epoch")[1:] == [epoch] * rounds


def test_a_lottery_ticket_starts_at_the_initial_weights(calls):
    one = recipe(pruner="imp", rate=0.3, rounds=2, rewind="lt")
    data = training_set(one)
    model, mask = train_network(one, data, Run(device="cpu"))
    initial = weights_of(one.model.build(one.seed))
    assert all(equal(start, initial) for start in calls.starts)
    assert calls.each("start_epoch") == [0, 0, 0]
    # Which is what rewinding to epoch 0 does too.
    same = recipe(pruner="imp", rate=0.3, rounds=2, rewind_epoch=0)
    other, other_mask = train_network(same, data, Run(device="cpu"))
    assert mask == other_mask
    assert equal(weights_of(model), weights_of(other))


def test_pt_goes_on_from_the_trained_weights(calls):
    one = recipe(pruner="imp", rate=0.3, rounds=2, rewind="pt")
    train_network(one, training_set(one), Run(device="cpu"))
    for end, start in zip(calls.ends, calls.starts[1:], strict=False):
        assert equal(end, start)
    assert calls.each("start_epoch") == [0, 0, 0]  # the whole schedule again


@pytest.mark.parametrize("rewind", ["rewind_lt", "lt", "pt"])
def test_what_is_trained_holds_the_mask_alone(calls, rewind):
    one = recipe(pruner="imp", rate=0.4, rounds=2, rewind=rewind)
    model, mask = train_network(one, training_set(one), Run(device="cpu"))
    assert mask == calls.masks[-1]
    for end, mask in zip(calls.ends, calls.masks, strict=True):
        for name in mask:
            assert not end[name][~mask[name]].any()
            assert end[name][mask[name]].any()
    assert equal(weights_of(model), calls.ends[-1])


# --- pruning in rounds --------------------------------------------------------------------


def test_imp_of_a_fifth_in_five_rounds(calls):
    """Nested masks, 67.2 % in the end, and the sparsity of each round at the round's number."""
    one = recipe(pruner="imp", rate=0.2, rounds=5, epochs=1)
    run = Run(device="cpu")
    _, mask = train_network(one, training_set(one), run)
    sparsities = [100 * (1 - 0.8**number) for number in range(6)]
    assert sparsities[-1] == pytest.approx(67.2, abs=0.05)
    one_weight = 100 / mask.total
    assert mask.sparsity == pytest.approx(sparsities[-1], abs=one_weight)
    assert [one.sparsity for one in calls.masks] == pytest.approx(sparsities, abs=one_weight)
    assert run.history("sparsity") == [(n, one.sparsity) for n, one in enumerate(calls.masks)]
    for before, after in itertools.pairwise(calls.masks):
        for name in mask:
            assert not (after[name] & ~before[name]).any()


@laws(12)
@given(rate=st.floats(0.01, 0.9), rounds=st.integers(1, 4))
def test_no_rounding_adds_up(rate, rounds):
    one = recipe(pruner="imp", rate=rate, rounds=rounds, epochs=1, train_size=20)
    run = Run(device="cpu")
    _, mask = train_network(one, training_set(one), run)
    for number, sparsity in run.history("sparsity"):
        pruned = round(mask.total * (1 - (1 - rate) ** number))
        assert sparsity == pytest.approx(100 * pruned / mask.total)


def test_each_mask_is_of_the_largest_weights_of_the_round_before(calls):
    one = recipe(pruner="imp", rate=0.4, rounds=3)
    train_network(one, training_set(one), Run(device="cpu"))
    for end, before, after in zip(calls.ends, calls.masks, calls.masks[1:], strict=False):
        kept = torch.cat([end[name].abs()[after[name]] for name in after])
        gone = torch.cat([end[name].abs()[before[name] & ~after[name]] for name in after])
        assert float(kept.min()) >= float(gone.max())


def test_pruning_initial_weights_is_followed_by_one_training(calls):
    one = recipe(pruner="omp", rate=0.7, when="initial")
    data = training_set(one)
    run, told = Run(device="cpu"), []
    model, mask = train_network(one, data, run, after_round=lambda n, *_: told.append(n))
    initial = one.model.build(one.seed)
    everything = Mask.dense(initial, prunable(initial))
    expected = one.make_pruner().prune(initial, everything, data, Run(device="cpu"))
    assert mask == expected
    assert told == [1]
    (start,) = calls.starts
    assert equal(start, weights_of(initial))
    assert calls.each("start_epoch") == [0]
    assert run.history("sparsity") == [(1, mask.sparsity)]
    assert [step for step, _ in run.history("loss")] == [0, 1, 2, 3]
    train(initial, data, one.training, Run(device="cpu"), mask=expected)
    assert equal(weights_of(model), weights_of(initial))


def test_initial_weights_are_pruned_round_after_round(calls):
    one = recipe(pruner="imp", rate=0.5, rounds=3, when="initial")
    run = Run(device="cpu")
    _, mask = train_network(one, training_set(one), run)
    assert len(calls.starts) == 1
    assert [number for number, _ in run.history("sparsity")] == [1, 2, 3]
    expected = [50.0, 75.0, 87.5]
    assert [found for _, found in run.history("sparsity")] == pytest.approx(expected, abs=0.2)
    assert calls.masks == [mask]


def test_rate_0_is_one_plain_training(calls):
    for when in ("trained", "initial"):
        one = recipe(rate=0.0, when=when)
        data = training_set(one)
        run = Run(device="cpu")
        model, mask = train_network(one, data, run)
        plain = one.model.build(one.seed)
        train(plain, data, one.training, Run(device="cpu"))
        assert mask.is_dense
        assert equal(weights_of(model), weights_of(plain))
        assert run.history("sparsity") == [(0, 0.0)]


def test_a_mask_that_is_given_is_trained_under_once(calls):
    one = recipe(pruner="imp", rate=0.2, rounds=5)
    data = training_set(one)
    initial = one.model.build(one.seed)
    given = random_mask(initial, prunable(initial), kept=0.3)
    run = Run(device="cpu")
    model, mask = train_network(one, data, run, mask=given)
    assert mask == given
    (start,) = calls.starts
    assert equal(start, weights_of(initial))
    assert run.history("sparsity") == [(0, given.sparsity)]
    train(initial, data, one.training, Run(device="cpu"), mask=given)
    assert equal(weights_of(model), weights_of(initial))


def test_by_a_recipe_that_goes_on_from_trained_weights_a_given_mask_is_that_of_every_round(calls):
    """Dense first, as there; then under the mask for as long as the original was sparse."""
    one = recipe(pruner="imp", rate=0.3, rounds=2, rewind="pt")
    data = training_set(one)
    initial = one.model.build(one.seed)
    given = random_mask(initial, prunable(initial), kept=0.3)
    run, told = Run(device="cpu"), []
    model, mask = train_network(
        one, data, run, mask=given, after_round=lambda number, *_: told.append(number)
    )
    assert mask == given
    assert told == [0, 1, 2]
    assert [found.is_dense for found in calls.masks] == [True, False, False]
    assert calls.masks[1:] == [given, given]
    assert equal(calls.starts[0], weights_of(initial))
    for end, start in zip(calls.ends, calls.starts[1:], strict=False):
        assert equal(end, start)
    assert run.samples_seen == 3 * 4 * len(data)
    assert run.history("sparsity") == [(0, 0.0), (1, given.sparsity), (2, given.sparsity)]
    for stage in (None, given, given):
        train(initial, data, one.training, Run(device="cpu"), mask=stage)
    assert equal(weights_of(model), weights_of(initial))


def test_an_original_that_was_trained_under_a_given_mask_had_one_training_whatever_rewind_says():
    one = replace(recipe(pruner="imp", rewind="pt"), given_mask="0" * 64)
    assert one.stages(mask_is_known=True) == [Stage(0, 0, 0)]


def test_seeds_of_weights_and_of_samples_are_separate():
    """Initial weights are the recipe's; the order of samples is the run's, or the one given."""
    one = recipe(rate=0.0, epochs=1)
    data = training_set(one)

    def trained(own, **seeds):
        return weights_of(train_network(own, data, Run(device="cpu", seed=5), **seeds)[0])

    assert equal(trained(one), trained(one, seed=5))
    assert not equal(trained(one), trained(one, seed=6))
    assert not equal(trained(one, seed=6), trained(recipe(rate=0.0, epochs=1, seed=1), seed=6))


def test_the_given_seed_decides_what_a_pruner_draws(calls):
    one = recipe(pruner="random", rate=0.5, epochs=1)
    data = training_set(one)
    for run_seed, seed in ((0, 7), (1, 7), (7, None), (0, 8)):
        train_network(one, data, Run(device="cpu", seed=run_seed), seed=seed)
    first, same, by_run, other = calls.masks
    assert first == same == by_run
    assert first != other


def test_after_each_round_its_network_is_shown():
    one = recipe(pruner="imp", rate=0.5, rounds=2, epochs=2)
    shown = []

    def look(number, model, _run):
        pruned = sum(int((model.get_parameter(n) == 0).sum()) for n in prunable(model))
        shown.append((number, pruned))

    _, mask = train_network(one, training_set(one), Run(device="cpu"), after_round=look)
    counts = [mask.total - one.make_pruner().keeps(mask.total, number) for number in (1, 2)]
    assert shown == [(0, 0), (1, counts[0]), (2, counts[1])]
    assert mask.sparsity == pytest.approx(75, abs=0.2)
