"""The loop against a slow, obvious one, and the laws of masks, seeds and schedules in it."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mu.data import load_data
from mu.data.batches import Batches
from mu.data.images import Subset
from mu.masks import Mask
from mu.runs import Run, generator
from mu.training import Training, learning_rate_factor
from mu.training.loop import DivergedError, train
from mu.training.optimizers import optimizer_state
from mu.training.recipe import OPTIMIZERS
from tests.helpers import laws
from tests.helpers import random_mask as mask_of
from tests.training.networks import small

SAMPLES = 50


@pytest.fixture(scope="module")
def data():
    return load_data("digits").training_subset(np.arange(100, 100 + SAMPLES))


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 64, 10)
    )


def random_mask(model, seed=1):
    draws = torch.Generator().manual_seed(seed)
    names = ["0.weight", "3.weight"]
    parameters = dict(model.named_parameters())
    return Mask({n: torch.rand(parameters[n].shape, generator=draws) < 0.4 for n in names})


def settings(**changes):
    defaults = {"epochs": 3, "lr": 0.05, "batch_size": 16, "schedule": "cosine", "augment": "none"}
    return Training(**{**defaults, **changes})


def slow_training(model, data: Subset, training, mask, penalty, seed):
    """Heavy-ball descent written out, one sample and one parameter at a time."""
    images = data.images.pixels[torch.from_numpy(data.indices)].float() / 255
    images = (images - data.mean[0]) / data.std[0]
    labels = data.labels
    velocity = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for epoch in range(training.epochs):
        draws = generator(seed, f"order of epoch {epoch}")
        order = torch.randperm(len(labels), generator=draws)
        batches = np.array_split(order, -(-len(order) // training.batch_size))
        for number, rows in enumerate(batches):
            moment = epoch + number / len(batches)
            rate = training.lr * learning_rate_factor(training.schedule, moment, training.epochs)
            loss = sum(
                F.cross_entropy(model(images[i][None]), labels[i][None]) for i in rows.tolist()
            ) / len(rows)
            if penalty is not None:
                loss = loss + penalty(model, epoch)
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            with torch.no_grad():
                for (name, weight), gradient in zip(
                    model.named_parameters(), gradients, strict=True
                ):
                    keep = mask[name] if name in mask else torch.ones_like(weight).bool()
                    gradient = gradient * keep + training.weight_decay * weight
                    velocity[name] = training.momentum * velocity[name] + gradient
                    weight.copy_(torch.where(keep, weight - rate * velocity[name], 0.0))


@pytest.mark.parametrize("with_penalty", [False, True])
def test_loop_equals_a_slow_one(data, with_penalty):
    fast = network()
    mask = random_mask(fast)
    mask.apply(fast)
    slow = copy.deepcopy(fast)

    def penalty_of(model, epoch):
        return 0.01 * (epoch + 1) * dict(model.named_parameters())["0.weight"].abs().sum()

    train(
        fast,
        data,
        settings(),
        Run(device="cpu", seed=5),
        mask=mask,
        penalty=(lambda epoch: penalty_of(fast, epoch)) if with_penalty else None,
    )
    slow_training(slow, data, settings(), mask, penalty_of if with_penalty else None, seed=5)
    for name, weight in fast.named_parameters():
        assert torch.allclose(weight, dict(slow.named_parameters())[name], atol=2e-5), name


def test_same_seed_same_weights_other_seed_other_weights(data):
    def trained(seed):
        model = network()
        train(model, data, settings(augment="crop_flip"), Run(device="cpu", seed=seed))
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(trained(3), trained(3))
    assert not torch.equal(trained(3), trained(4))


def test_numbers_of_an_epoch_are_means_over_samples(data):
    """At a vanishing learning rate the epoch's numbers are those of the untrained model."""
    model = network()
    run = Run(device="cpu")
    train(model, data, settings(epochs=1, lr=1e-12), run, first_step=7)
    images = (data.images.pixels[torch.from_numpy(data.indices)].float() / 255 - data.mean[0]) / (
        data.std[0]
    )
    logits = model(images).detach()
    assert run.metrics["loss"] == pytest.approx(
        float(F.cross_entropy(logits, data.labels)), rel=1e-4
    )
    right = float((logits.argmax(1) == data.labels).float().mean())
    assert run.metrics["train_acc"] == pytest.approx(100 * right)
    assert run.history("loss")[0][0] == 7
    assert run.samples_seen == SAMPLES


def test_divergence_is_said(data):
    with pytest.raises(DivergedError, match="loss became nan in epoch"):
        train(network(), data, settings(lr=1e30, epochs=5), Run(device="cpu"))


def test_the_data_is_not_changed(data):
    before = data.images.pixels.clone()
    train(network(), data, settings(augment="crop_flip"), Run(device="cpu"))
    assert torch.equal(before, data.images.pixels)


def test_the_number_of_samples_need_not_fit_the_batch(data):
    """33 samples in batches of 16: no sample is left alone, and all are seen."""
    odd = Subset(data.images, data.indices[:33], data.mean, data.std)
    run = Run(device="cpu")
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))
    train(model, odd, settings(), run)
    assert run.samples_seen == 3 * 33


# --- label smoothing ----------------------------------------------------------------------


@laws(20)
@given(smoothing=st.floats(0, 0.99), seed=st.integers(0, 99))
def test_label_smoothing_is_the_closed_form(data, smoothing, seed):
    """(1 - s) CE + s / K times the sum over the classes: of the logged loss, and of the step."""
    one_step = settings(
        epochs=1, lr=0.5, batch_size=SAMPLES, momentum=0.0, weight_decay=0.0, schedule="constant"
    )
    model, by_hand = network(seed), network(seed)
    run = Run(device="cpu")
    train(model, data, one_step.replace(label_smoothing=smoothing), run)

    images, labels = next(Batches(data, SAMPLES, torch.device("cpu")).in_order())
    surprise = -by_hand(images).log_softmax(1)  # of shape (n, K)
    own = torch.stack([surprise[row, label] for row, label in enumerate(labels.tolist())])
    loss = ((1 - smoothing) * own + smoothing / 10 * surprise.sum(1)).mean()
    loss.backward()
    assert run.metrics["loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
    for one, other in zip(model.parameters(), by_hand.parameters(), strict=True):
        assert torch.allclose(one, other - 0.5 * other.grad, atol=1e-5)


def test_a_loss_that_is_given_stands_in_place_of_the_smoothed_one(data):
    plain, given_one = network(), network()
    train(plain, data, settings(), Run(device="cpu"))
    train(given_one, data, settings(label_smoothing=0.5), Run(device="cpu"), loss=F.cross_entropy)
    assert same_weights(plain, given_one)


# --- optimisers ---------------------------------------------------------------------------


def same_weights(one, other):
    """Weights and buffers, to the bit."""
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


TORCHS = {
    "sgd": lambda weights, lr, decay, beta: torch.optim.SGD(
        weights, lr=lr, weight_decay=decay, momentum=beta
    ),
    "adam": lambda weights, lr, decay, beta: torch.optim.Adam(
        weights, lr=lr, weight_decay=decay, betas=(beta, 0.999)
    ),
    "adamw": lambda weights, lr, decay, beta: torch.optim.AdamW(
        weights, lr=lr, weight_decay=decay, betas=(beta, 0.999)
    ),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_each_optimiser_is_torchs(data, kind):
    """A loop as in any introduction; momentum 0.6 is not the default of any of them."""
    training = settings(optimizer=kind, lr=0.01, momentum=0.6, weight_decay=0.02, warmup=1)
    model, plain = network(), network()
    train(model, data, training, Run(seed=4, device="cpu"))

    optimizer = TORCHS[kind](plain.parameters(), 0.01, 0.02, 0.6)
    batches = Batches(data, 16, torch.device("cpu"))
    for epoch in range(3):
        order = batches.shuffled(generator(4, f"order of epoch {epoch}"))
        for number, (images, labels) in enumerate(order):
            moment = epoch + number / len(batches)
            factor = learning_rate_factor("cosine", moment, 3, warmup=1)
            optimizer.param_groups[0]["lr"] = 0.01 * factor
            optimizer.zero_grad()
            F.cross_entropy(plain(images), labels).backward()
            optimizer.step()
    for one, other in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert not same_weights(model, network())


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_rate_that_is_logged_is_that_of_the_last_step(data, kind):
    run = Run(device="cpu")
    train(network(), data, settings(optimizer=kind, lr=0.02, epochs=4), run, first_step=10)
    batches = len(Batches(data, 16, torch.device("cpu")))
    assert batches > 1
    expected = [
        0.02 * learning_rate_factor("cosine", epoch + (batches - 1) / batches, 4)
        for epoch in range(4)
    ]
    steps, rates = zip(*run.history("lr"), strict=True)
    assert steps == (10, 11, 12, 13)
    assert rates == pytest.approx(expected)


def test_what_an_optimiser_keeps_goes_by_the_names_of_parameters(data):
    kept = {}

    def look(kind, _epoch, optimizer):
        kept[kind] = {*optimizer_state(optimizer, model)}

    names = {name for name, _ in network().named_parameters()}
    for kind in OPTIMIZERS:
        model = network()
        train(
            model,
            data,
            settings(optimizer=kind),
            Run(device="cpu"),
            after_epoch=partial(look, kind),
        )
    assert kept["sgd"] == {f"{name}/momentum_buffer" for name in names}
    assert kept["adam"] == kept["adamw"]
    assert kept["adam"] == {
        f"{name}/{key}" for name in names for key in ("step", "exp_avg", "exp_avg_sq")
    }


# --- after each step ----------------------------------------------------------------------


def test_after_each_step_its_epoch_and_rate_are_told(data):
    told = []
    training = settings(warmup=2)
    train(
        network(), data, training, Run(device="cpu"), start_epoch=1,
        after_step=lambda *said: told.append(said),
    )  # fmt: skip
    batches = len(Batches(data, training.batch_size, torch.device("cpu")))
    assert told == [
        (epoch, 0.05 * learning_rate_factor("cosine", epoch + number / batches, 3, warmup=2))
        for epoch in (1, 2)
        for number in range(batches)
    ]


def test_after_a_step_pruned_weights_are_zero_and_the_next_one_starts_from_what_is_left(data):
    """Zero even where the optimiser remembers a time before the mask, and moves all weights."""
    model, before, seen = network(), {}, []
    mask = random_mask(model)

    def remember(_epoch, optimizer):
        before.update({n: v.clone() for n, v in optimizer_state(optimizer, model).items()})

    def after_step(_epoch, _rate):
        assert not pruned_weights(model, mask).any()
        with torch.no_grad():
            model[0].bias.fill_(7.0)

    run = Run(device="cpu")
    train(model, data, settings(), run, stop_epoch=1, after_epoch=remember)
    model.register_forward_pre_hook(lambda *_: seen.append(model[0].bias.detach().clone()))
    train(
        model, data, settings(), run, mask=mask, start_epoch=1, optimizer_state=before,
        after_step=after_step,
    )  # fmt: skip
    assert all((bias == 7).all() for bias in [*seen[1:], model[0].bias])
    assert len(seen) > 1


# --- networks that draw -------------------------------------------------------------------


def test_dropout_draws_by_the_seed_and_leaves_the_global_generator_alone(data):
    def trained(seed, disturbance):
        torch.manual_seed(disturbance)
        before = torch.get_rng_state()
        model = small(dropout=0.5)
        train(model, data, settings(), Run(seed=seed, device="cpu"))
        assert torch.equal(torch.get_rng_state(), before)
        return model

    assert same_weights(trained(3, disturbance=1), trained(3, disturbance=2))
    assert not same_weights(trained(3, disturbance=1), trained(4, disturbance=1))


def test_dropout_draws_anew_in_each_epoch_and_batch(data):
    """The layer's output on ones shows what was dropped."""
    dropped = []

    class Watching(nn.Dropout):
        def forward(self, signal):
            dropped.append(super().forward(torch.ones(len(signal), 20)) == 0)
            return signal

    model = nn.Sequential(nn.Flatten(), Watching(0.5), nn.Linear(64, 10))
    train(model, data, settings(batch_size=25), Run(device="cpu"))
    assert len(dropped) == 6
    for number, one in enumerate(dropped):
        assert 0.4 < float(one.float().mean()) < 0.6
        assert not any(torch.equal(one, other) for other in dropped[:number])


# --- pruned weights -----------------------------------------------------------------------

CHOICES = {
    "kind": st.sampled_from(OPTIMIZERS),
    "rho": st.sampled_from([0.0, 0.1]),
    "adaptive": st.booleans(),
    "seed": st.integers(0, 999),
}


def choose(kind, rho, adaptive, **changes):
    return settings(
        optimizer=kind,
        lr=0.05 if kind == "sgd" else 0.005,
        sam_rho=rho,
        sam_adaptive=adaptive,
        weight_decay=0.1,
        **changes,
    )


def pruned_weights(model, mask):
    parameters = dict(model.named_parameters())
    return torch.cat([parameters[name].detach()[~mask[name]] for name in mask])


@laws(25)
@given(**CHOICES, stop=st.integers(0, 3))
def test_pruned_weights_are_zero_in_every_pass_whatever_trains(
    data, kind, rho, adaptive, seed, stop
):
    """Also where the optimiser remembers a time before the mask, and moves all weights."""
    model, training = small(seed), choose(kind, rho, adaptive)
    mask = mask_of(model, ["conv.weight", "hidden.weight", "norm.weight"], kept=0.5, seed=seed)
    before = {}

    def remember(_epoch, optimizer):
        before.update({n: v.clone() for n, v in optimizer_state(optimizer, model).items()})

    train(
        model, data, training, Run(seed=seed, device="cpu"), stop_epoch=stop, after_epoch=remember
    )
    seen = []
    handle = model.register_forward_pre_hook(lambda *_: seen.append(pruned_weights(model, mask)))
    train(
        model,
        data,
        training,
        Run(seed=seed, device="cpu"),
        mask=mask,
        start_epoch=stop,
        optimizer_state=before,
    )
    handle.remove()
    assert len(seen) == (3 - stop) * len(Batches(data, 16, torch.device("cpu"))) * (2 if rho else 1)
    for one in [*seen, pruned_weights(model, mask)]:
        assert not one.any()
        assert not one.signbit().any()
    for name in mask:
        assert dict(model.named_parameters())[name].detach()[mask[name]].all()


# --- stopping and going on ----------------------------------------------------------------


@laws(15)
@given(
    **CHOICES,
    stop=st.integers(0, 4),
    masked=st.booleans(),
    dropout=st.sampled_from([0.0, 0.4]),
    augment=st.sampled_from(["none", "crop_flip"]),
)
def test_going_on_with_the_state_ends_with_the_very_weights(
    data, kind, rho, adaptive, seed, stop, masked, dropout, augment
):
    training = choose(kind, rho, adaptive, epochs=4, augment=augment)
    whole, first, second = (small(seed, dropout) for _ in range(3))
    mask = mask_of(whole, ["conv.weight", "hidden.weight"], kept=0.5) if masked else None
    wanted, got = Run(seed=seed, device="cpu"), Run(seed=seed, device="cpu")
    train(whole, data, training, wanted, mask=mask)

    kept = {}

    def keep(_epoch, optimizer):
        # As a file gives it back: contiguous, whatever the memory format was.
        state = optimizer_state(optimizer, first)
        kept.update({name: value.clone().contiguous() for name, value in state.items()})

    train(first, data, training, got, mask=mask, stop_epoch=stop, after_epoch=keep)
    second.load_state_dict({n: v.contiguous() for n, v in first.state_dict().items()})
    as_given = {name: value.clone() for name, value in kept.items()}
    train(second, data, training, got, mask=mask, start_epoch=stop, optimizer_state=kept)
    assert same_weights(whole, second)
    assert wanted.records == got.records
    # The state is only read: whoever keeps it can go on from it again.
    assert all(torch.equal(kept[name], value) for name, value in as_given.items())


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_without_the_state_the_optimiser_starts_afresh(data, kind):
    training = choose(kind, 0.0, False)
    whole, parts = network(), network()
    train(whole, data, training, Run(device="cpu"))
    train(parts, data, training, Run(device="cpu"), stop_epoch=2)
    train(parts, data, training, Run(device="cpu"), start_epoch=2)
    assert not same_weights(whole, parts)


def test_after_each_epoch_its_number_is_told_when_its_numbers_are_logged(data):
    run, told = Run(device="cpu"), []
    model = network()
    train(
        model,
        data,
        settings(),
        run,
        start_epoch=1,
        after_epoch=lambda epoch, _: told.append((epoch, len(run.history("loss")))),
    )
    assert told == [(1, 1), (2, 2)]
