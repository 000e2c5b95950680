"""What originals are trained fast with, each part against the same written out in float64."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mu.training.loop
from mu.data import load_data
from mu.data.batches import Batches
from mu.models.blocks import first_layer
from mu.originals.train import make_recipe, train_original
from mu.runs import Run, generator
from mu.training import Training, learning_rate_factor
from mu.training.cycled import mirrored_in
from mu.training.loop import train
from mu.training.optimizers import optimizer_state
from tests.helpers import refused
from tests.training.networks import Exact, small

DATA = load_data("digits")
SAMPLES = DATA.training_subset(np.arange(100, 150))
SEED, EPOCHS, SIZE = 4, 3, 12
CPU = torch.device("cpu")


def settings(**changes: Any) -> Training:
    usual = {"epochs": EPOCHS, "lr": 0.05, "batch_size": SIZE, "schedule": "triangle"}
    return Training(**{**usual, "augment": "none", "momentum": 0.85, **changes})


def run() -> Run:
    return Run(device="cpu", seed=SEED)


def exact() -> Exact:
    return Exact(small(3))


def steps(augment: str = "none") -> Iterator[tuple[int, float, float, bool, Tensor, Tensor]]:
    """Epoch, moments before and after each step, whether it is its epoch's last, and the batch."""
    batches = Batches(SAMPLES, SIZE, CPU, augment=augment)
    for epoch in range(EPOCHS):
        order = batches.shuffled(generator(SEED, f"order of epoch {epoch}"))
        for number, batch in enumerate(order):
            moments = (epoch + (number + one) / len(batches) for one in (0, 1))
            yield epoch, *moments, number + 1 == len(batches), *batch


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: one.detach().clone() for name, one in model.named_parameters()}


def close(model: nn.Module, expected: dict[str, Tensor]) -> None:
    for name, one in model.named_parameters():
        torch.testing.assert_close(one.detach(), expected[name], rtol=1e-9, atol=1e-11)
        assert not torch.equal(one, dict(exact().named_parameters())[name]), name


def written_out(training: Training, biases: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Descent with Nesterov's momentum, decoupled decay and rates by group, weight by weight."""
    model, speed = exact(), {}
    for _, moment, _, _, images, labels in steps():
        factor = learning_rate_factor("triangle", moment, EPOCHS)
        loss = F.cross_entropy(model(images), labels)
        gradients = torch.autograd.grad(loss, [*model.parameters()])
        with torch.no_grad():
            for (name, weight), gradient in zip(model.named_parameters(), gradients, strict=True):
                rate = training.lr * (training.norm_bias_rate if name in biases else 1)
                # In units of weights: what the step takes of the weight does not depend on a rate.
                change = rate * gradient + training.weight_decay * weight
                speed[name] = training.momentum * speed.get(name, 0) + change
                weight -= factor * (change + training.momentum * speed[name])
    return weights(model)


def test_decay_is_decoupled_from_the_rate_and_biases_have_theirs() -> None:
    training = settings(nesterov=True, decoupled_decay=True, weight_decay=0.01, norm_bias_rate=7.0)
    model = exact()
    train(model, SAMPLES, training, run())
    close(model, written_out(training, ("network.norm.bias",)))


def test_without_a_gradient_decay_is_the_same_whatever_the_rates() -> None:
    found = []
    for lr, share in ((0.01, 1.0), (3.0, 1.0), (3.0, 50.0)):
        training = settings(
            lr=lr, norm_bias_rate=share, decoupled_decay=True, weight_decay=0.1, momentum=0.0
        )
        model = exact()
        model.network.norm.bias.data.fill_(1.0)
        before = weights(model)
        train(model, SAMPLES, training, run(), loss=lambda logits, _labels: 0 * logits.sum())
        factors = [learning_rate_factor("triangle", moment, EPOCHS) for _, moment, *_ in steps()]
        left = float(np.prod([1 - 0.1 * factor for factor in factors]))
        for name, one in weights(model).items():
            torch.testing.assert_close(one, left * before[name], rtol=1e-9, atol=0)
        found.append(left)
    assert len({*found}) == 1
    assert found[0] < 0.5


def test_slow_weights_and_statistics_are_followed_by_the_fast_ones() -> None:
    training = settings(lookahead=2)
    model, plain = exact(), exact()
    train(model, SAMPLES, training, run())

    optimizer = torch.optim.SGD(plain.parameters(), 0.05, 0.85, weight_decay=5e-4)
    slow = {n: v.clone() for n, v in plain.state_dict().items() if v.is_floating_point()}
    count = 0
    for _, moment, after, last, images, labels in steps():
        optimizer.param_groups[0]["lr"] = 0.05 * learning_rate_factor("triangle", moment, EPOCHS)
        optimizer.zero_grad()
        F.cross_entropy(plain(images), labels).backward()
        optimizer.step()
        count += 1
        if count == 2 or last:
            kept = 0.95**count * (after / EPOCHS) ** 3
            state = plain.state_dict()
            slow = {name: kept * one + (1 - kept) * state[name] for name, one in slow.items()}
            plain.load_state_dict({**state, **slow})
            count = 0
    close(model, weights(plain))
    for name, one in slow.items():
        torch.testing.assert_close(model.state_dict()[name], one, rtol=1e-9, atol=1e-11)


# --- the first layer ----------------------------------------------------------------------


@pytest.mark.parametrize("processes", [1, 2])
def test_the_first_layer_stays_after_its_epochs_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    """As one of several processes, gradients are dropped; alone, there are none."""
    seen = []
    model, free = small(3), small(3)
    train(free, SAMPLES, settings(weight_decay=0.1), run(), stop_epoch=1)
    if processes > 1:
        holds = mu.training.loop.all_holds

        def dropping(*given: Any) -> Any:
            found = holds(*given)
            found[0]._spares = False
            return found

        monkeypatch.setattr(mu.training.loop, "all_holds", dropping)
    train(
        model, SAMPLES, settings(first_layer_epochs=1, weight_decay=0.1), run(),
        after_epoch=lambda *_: seen.append(weights(model)),
    )  # fmt: skip
    assert first_layer(model, torch.zeros(2, 1, 8, 8)) == [model.conv.weight]
    assert not torch.equal(seen[0]["conv.weight"], small(3).conv.weight)
    assert torch.equal(seen[0]["conv.weight"], seen[2]["conv.weight"])
    assert not torch.equal(seen[0]["hidden.weight"], seen[2]["hidden.weight"])
    assert all(one.requires_grad for one in model.parameters())
    assert torch.equal(free.conv.weight, seen[0]["conv.weight"])


# --- mirroring ----------------------------------------------------------------------------


def test_every_image_is_mirrored_in_exactly_every_other_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And in the same ones where the training goes on after an interruption."""
    shown: list[Tensor] = []
    real = Batches.shuffled

    def noting(self: Batches, *given: Any) -> Any:
        for images, labels in real(self, *given):
            shown.append(images)
            yield images, labels

    monkeypatch.setattr(Batches, "shuffled", noting)

    def mirrored(start: int, stop: int) -> list[dict[bytes, bool]]:
        """By epoch and image, without its shift."""
        shown.clear()
        train(
            small(3), SAMPLES, settings(augment="crop_alternate", epochs=4, batch_size=25), run(),
            start_epoch=start, stop_epoch=stop,
        )  # fmt: skip
        epochs = [torch.cat(shown[place : place + 2]) for place in range(0, len(shown), 2)]
        return [_mirrored(epoch) for epoch in epochs]

    monkeypatch.setattr("mu.data.batches.shifted", lambda pixels, *_, reflects: pixels)
    whole = mirrored(0, 4)
    assert [len(one) for one in whole] == [50] * 4
    assert 0 < sum(whole[0].values()) < 50
    for before, after in pairwise(whole):
        assert all(after[image] is not turned for image, turned in before.items())
    assert mirrored(1, 4) == whole[1:]


def _mirrored(images: Tensor) -> dict[bytes, bool]:
    plain = {one.numpy().tobytes() for one in torch.cat([b for b, _ in _in_order()])}
    found = {}
    for one in images:
        turned = one.numpy().tobytes() not in plain
        found[(one.flip(2) if turned else one).contiguous().numpy().tobytes()] = turned
    assert {*found} <= plain
    return found


def _in_order() -> Iterator[tuple[Tensor, Tensor]]:
    return Batches(SAMPLES, 25, CPU).in_order()


def test_mirroring_is_by_place_seed_and_parity() -> None:
    first, second, third = (mirrored_in(epoch, 1000, 7) for epoch in range(3))
    assert torch.equal(first, third)
    assert torch.equal(first, ~second)
    assert not torch.equal(first, mirrored_in(0, 1000, 8))
    assert 400 < int(first.sum()) < 600
    with pytest.raises(ValueError, match="told"):
        Batches(SAMPLES, 5, CPU, augment="crop_alternate").shuffled(torch.Generator())


# --- all of it ----------------------------------------------------------------------------

FAST = {
    "nesterov": True, "decoupled_decay": True, "norm_bias_rate": 7.0, "lookahead": 2,
    "first_layer_epochs": 2, "augment": "shift_alternate",
}  # fmt: skip


def test_a_training_that_goes_on_ends_with_the_same_bits() -> None:
    kept = {}

    def keep(epoch: int, optimizer: torch.optim.Optimizer) -> None:
        state = optimizer_state(optimizer, model)
        kept[epoch + 1] = copy.deepcopy((model.state_dict(), state))

    model, training = small(3), settings(**FAST, epochs=4)
    train(model, SAMPLES, training, run(), after_epoch=keep)
    for start in (1, 2, 3):
        again = small(5)
        again.load_state_dict(kept[start][0])
        train(again, SAMPLES, training, run(), start_epoch=start, optimizer_state=kept[start][1])
        for name, one in model.state_dict().items():
            assert torch.equal(again.state_dict()[name], one), (start, name)


def test_earlier_recipes_keep_their_fingerprints() -> None:
    """What is given later stands in a document only where it is not the default."""
    plain = make_recipe(DATA)
    assert not {*FAST} - {"augment"} & {*plain.as_dict()["training"]}
    fast = make_recipe(DATA, profile="fast")
    assert {*FAST} <= {*fast.as_dict()["training"]}
    assert type(plain).from_dict(plain.as_dict()) == plain
    assert type(fast).from_dict(fast.as_dict()) == fast
    assert make_recipe(DATA, lookahead=5).fingerprint != plain.fingerprint
    assert {*FAST} <= {*plain.settings()}


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ({"nesterov": True, "optimizer": "adam"}, ("nesterov=True", "sgd")),
        ({"nesterov": True, "momentum": 0.0}, ("nesterov=True", "momentum")),
        ({"decoupled_decay": True, "optimizer": "adam"}, ("decoupled_decay=True", "adamw")),
        ({"lookahead": -1}, ("lookahead=-1", "at least 0")),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any], texts: Any) -> None:
    with refused(*texts):
        Training(**given)


def test_the_profiles_train_and_differ_in_epochs_and_smoothing() -> None:
    fast, fitted = (make_recipe(DATA, profile=one) for one in ("fast", "fast_fitted"))
    assert fast.model.arch == fitted.model.arch == "fastnet"
    changed = {"epochs": 20, "label_smoothing": 0.0}
    assert fast.training.replace(**changed) == fitted.training
    recipe = make_recipe(DATA, profile="fast", epochs=1, train_size=60, batch_size=30, rate=0.0)
    assert train_original(DATA, recipe, run()).spec.recipe == recipe
