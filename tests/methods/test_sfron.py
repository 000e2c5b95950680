"""SFRon: rounds written out, the weights of samples, the mask, the clip and the slow weights."""

import math

import pytest
import torch

from mu.data.batches import Batches
from mu.methods.steps.weighting import weighted_mean
from mu.runs import Run, generator
from mu.training.turns import clipped
from tests.methods.exact import (
    DECAY,
    LR,
    MOMENTUM,
    SEED,
    ByHand,
    check_equal,
    original,
    split_of,
    unlearned,
    whole,
)
from tests.methods.test_rl import mean_loss

SMALL = {"epochs": 2, "forget_every": 2}
SHARED = {"epochs": 2, "forget_every": 2}


def salient(start, split, size, threshold):
    """The squares of each batch's gradient, by hand, and the weights whose ratio is large."""
    names = dict(start.model.named_parameters())

    def squares(subset):
        batches = [*Batches(subset, size, torch.device("cpu")).in_order()]
        total = {name: torch.zeros_like(one) for name, one in names.items()}
        for images, labels in batches:
            loss = mean_loss(start.model(images), labels)
            found = torch.autograd.grad(loss, list(names.values()))
            for name, one in zip(names, found, strict=True):
                total[name] += one**2 / len(batches)
        return total

    forget, retain = squares(split.forget_set), squares(split.retain_set)
    return {
        name: ((forget[name] + 1e-15) / (retain[name] + 1e-15) >= threshold).double()
        for name in names
    }


def climb(slow, images, labels, mask, scale, exponent, norm):
    """A step of ascent, sample by sample."""
    logits = slow.model(images)
    losses = [mean_loss(row[None], label[None]) for row, label in zip(logits, labels, strict=True)]
    powers = [one.item() ** -exponent for one in losses]
    shares = [one / sum(powers) for one in powers]
    loss = -scale * sum(share * one for share, one in zip(shares, losses, strict=True))
    found = torch.autograd.grad(loss, list(slow.names.values()))
    gradients = {}
    for name, gradient in zip(slow.names, found, strict=True):
        kept = slow.mask.get(name, 1.0)
        gradients[name] = gradient * kept * mask[name]
    length = math.sqrt(sum(float((one**2).sum()) for one in gradients.values()))
    with torch.no_grad():
        for name, weight in slow.names.items():
            total = gradients[name] * min(1.0, norm / length) + DECAY * weight
            slow.speed[name] = MOMENTUM * slow.speed[name] + total
            weight.sub_(LR * slow.speed[name])
    return length


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize(("follow", "norm"), [(0.5, 7.0), (0.3, 0.1), (1.0, 0.1)])
def test_its_updates_are_those_written_out(epochs, follow, norm):
    """A batch is a whole set: an epoch is one step up, one down, and the slow weights'."""
    start, split = original(), split_of()
    mask, slow, lengths = salient(start, split, 1000, 1.5), ByHand(start), []
    (forget, forgotten), (retain, known) = whole(split.forget_set), whole(split.retain_set)
    for epoch in range(epochs):
        before = {name: one.detach().clone() for name, one in slow.names.items()}
        scale = 3.0 * (1 + math.cos(math.pi * epoch / epochs)) / 2
        lengths.append(climb(slow, forget, forgotten, mask, scale, 0.7, norm))
        slow.step(mean_loss(slow.model(retain), known))
        with torch.no_grad():
            for name, weight in slow.names.items():
                weight.copy_((1 - follow) * before[name] + follow * weight)
    assert (max(lengths) > norm) == (norm < 1), "it is clipped, or it is not"
    given = {"ascent": 3.0, "exponent": 0.7, "threshold": 1.5, "max_norm": norm, "follow": follow}
    check_equal(unlearned("sfron", start, split, epochs, **given), slow.model)
    assert 0 < sum(float(one.sum()) for one in mask.values()) < sum(map(torch.numel, mask.values()))


def test_an_ascent_comes_before_every_second_step_and_slow_weights_follow_each_round():
    start, split = original(), split_of()
    mask, slow = salient(start, split, 10, 1.0), ByHand(start)
    retain = Batches(split.retain_set, 10, torch.device("cpu"))
    forget = Batches(split.forget_set, 4, torch.device("cpu"))
    downs = [*retain.shuffled(generator(SEED, "order of epoch 0"))]
    purpose = "order of the second set in epoch 0, time 0"
    ups = iter([*forget.shuffled(generator(SEED, purpose))])
    assert len(downs) == 3

    def weights():
        return {name: one.detach().clone() for name, one in slow.names.items()}

    def follow(before):
        with torch.no_grad():
            for name, weight in slow.names.items():
                weight.copy_((before[name] + weight) / 2)

    first = weights()
    climb(slow, *next(ups), mask, 25.0, 0.5, 7.0)
    for images, labels in downs[:2]:
        slow.step(mean_loss(slow.model(images), labels))
    follow(first)
    second = weights()
    climb(slow, *next(ups), mask, 25.0, 0.5, 7.0)
    slow.step(mean_loss(slow.model(downs[2][0]), downs[2][1]))
    follow(second)
    sizes = {"batch_size": 10, "forget_batch_size": 4, "forget_every": 2}
    check_equal(unlearned("sfron", start, split, 1, **sizes), slow.model)


def test_ranks_that_share_a_batch_mean_as_one_does():
    class Part:
        """One rank of two; the other one's sums are known."""

        def __init__(self, other):
            self.other = other

        def add_up(self, values):
            return values + self.other

    draws = torch.Generator().manual_seed(0)
    values, weights = (torch.rand(7, generator=draws, dtype=torch.float64) for _ in range(2))
    run, parts, found = Run(device="cpu"), [slice(0, 4), slice(4, 7)], []
    expected = sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
    assert torch.isclose(weighted_mean(values, weights, run), expected, rtol=1e-12)
    for part, other in zip(parts, reversed(parts), strict=True):
        sums = torch.stack([weights[other].sum(), torch.tensor(len(weights[other])).double()])
        run.ranks = Part(sums)
        found.append(len(values[part]) / 7 * weighted_mean(values[part], weights[part], run))
    assert torch.isclose(sum(found), expected, rtol=1e-12)


def test_short_gradients_stay_bit_for_bit():
    values = [torch.tensor([3.0]), torch.tensor([4.0])]
    clipped(values, 5.0)
    assert [one.item() for one in values] == [3.0, 4.0]
    clipped(values, 1.0)
    assert [one.item() for one in values] == pytest.approx([0.6, 0.8])
