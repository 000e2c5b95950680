"""MSG: which weights are drawn anew, within which mask, and the updates by hand."""

import copy

import pytest
import torch

from mu.methods.steps.resetting import draw_anew, smallest
from mu.runs import Run, generator
from tests.methods.exact import SEED, ByHand, check_equal, original, split_of, unlearned, whole
from tests.methods.test_rl import mean_loss

SMALL = {"epochs": 4}  # until what was drawn anew is trained


def weakest(start, split, share):
    """Of each layer the kept weights with the smallest gradients, found one by one."""
    draws = generator(SEED, "retained part")
    part = split.retain_set.drawn(len(split.forget), draws)
    total = 0.0
    for subset, sign in ((part, 1), (split.forget_set, -1)):
        for image, label in zip(*whole(subset), strict=True):
            total = total + sign * mean_loss(start.model(image[None]), label[None])
    chosen = {}
    for name in start.mask:
        (gradient,) = torch.autograd.grad(
            total, [start.model.get_parameter(name)], retain_graph=True
        )
        places = [n for n, kept in enumerate(start.mask[name].flatten()) if kept]
        sizes = gradient.flatten().abs().tolist()
        places.sort(key=sizes.__getitem__)
        flags = torch.zeros(gradient.numel(), dtype=torch.bool)
        flags[places[: round(share * len(places))]] = True
        chosen[name] = flags.view(gradient.shape)
    return chosen


@pytest.mark.parametrize("share", [0.3, 0.6])
@pytest.mark.parametrize("epochs", [1, 3])
def test_its_updates_are_those_written_out(share, epochs):
    start, split = original(), split_of()
    chosen, begun = weakest(start, split, share), copy.deepcopy(start)
    found = smallest(start, split, Run(device="cpu", seed=SEED), share)
    assert all(torch.equal(found[name], chosen[name]) for name in chosen)
    draw_anew(begun, chosen, Run(device="cpu", seed=SEED))
    factors = {name: one.double() + 0.1 * (~one).double() for name, one in chosen.items()}
    slow = ByHand(begun, factors)
    retain, known = whole(split.retain_set)
    for _ in range(epochs):
        slow.step(mean_loss(slow.model(retain), known))
    check_equal(unlearned("msg", start, split, epochs, reset_share=share), slow.model)


@pytest.mark.parametrize("kept", [1.0, 0.3])
def test_what_is_drawn_anew_stays_inside_the_mask_and_the_rest_as_it_was(kept):
    start, split = original(kept), split_of()
    found, run = copy.deepcopy(start), Run(device="cpu", seed=SEED)
    chosen = smallest(start, split, run, 0.3)
    draw_anew(found, chosen, run)
    for name, weight in start.model.named_parameters():
        changed = found.model.get_parameter(name) != weight
        if name not in start.mask:
            assert not changed.any()
            continue
        assert torch.equal(changed, chosen[name])
        assert not (changed & ~start.mask[name]).any()
        assert int(changed.sum()) == round(0.3 * int(start.mask[name].sum()))


def test_they_are_drawn_with_kaimings_deviation():
    start = original(1.0)
    chosen = {name: torch.ones_like(start.mask[name]) for name in start.mask}
    draw_anew(start, chosen, Run(device="cpu", seed=SEED))
    weight = start.model.second.weight.detach()  # (5, 4, 3, 3): 45 outputs a weight goes into
    assert float(weight.std()) == pytest.approx((2 / 45) ** 0.5, rel=0.15)
