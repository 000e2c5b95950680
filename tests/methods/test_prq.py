"""PRMQ: what is pruned and drawn anew, the updates by hand, and half precision."""

import math

import pytest
import torch

from mu.methods.steps.rebuilding import entropy, round_to_half
from mu.runs import Run
from tests.methods.exact import SEED, ByHand, check_equal, original, split_of, unlearned, whole

BLIND = ("forget",)
SMALL = {"epochs": 6, "prune_share": 0.3}
# Rounding to float16 makes steps of what two processes differ by.
SHARED = {"epochs": 2, "half": False}
LAYERS = ("conv.weight", "second.weight", "second.bias", "head.weight", "head.bias")


def rebuilt(start, share):
    """Weights one by one: the smallest of those that are kept, and what they are drawn as."""
    names = dict(start.model.named_parameters())
    sizes = sorted(
        (abs(value.item()), name, place)
        for name in LAYERS
        for place, value in enumerate(names[name].detach().flatten())
        if name not in start.mask or start.mask[name].flatten()[place]
    )
    slow, draws = ByHand(start), Run(device="cpu", seed=SEED).generator("weights drawn anew")
    fresh = {}
    for name in sorted(LAYERS):
        weight = names[name]
        if weight.ndim > 1:
            bound = 1 / math.sqrt(weight.shape[1:].numel())
            fresh[name] = torch.empty(weight.shape).uniform_(-bound, bound, generator=draws)
        else:
            fresh[name] = torch.zeros(weight.shape)
    with torch.no_grad():
        for _, name, place in sizes[: round(share * len(sizes))]:
            slow.names[name].view(-1)[place] = fresh[name].view(-1)[place].double()
    return slow


def losses(logits, labels, before, counts):
    """Sample by sample, probability by probability."""
    weights = [counts[label] ** -0.1 for label in labels.tolist()]
    total, squares = 0.0, 0.0
    for row, other, label, weight in zip(logits, before, labels.tolist(), weights, strict=True):
        p, q = (one.exp() / one.exp().sum() for one in (row, other))
        total = total - weight * torch.log(p[label])
        entropies = [-sum(x * torch.log(x) for x in one) for one in (p, q)]
        squares = squares + (entropies[0] - entropies[1]) ** 2
    return total / sum(weights) + squares / len(weights)


@pytest.mark.parametrize(("share", "whole_class"), [(0.99, False), (0.4, True)])
@pytest.mark.parametrize("epochs", [1, 3])
def test_its_updates_are_those_written_out(share, whole_class, epochs):
    start, split = original(), split_of(whole_class=whole_class)
    slow, (retain, known) = rebuilt(start, share), whole(split.retain_set)
    counts = {label: known.tolist().count(label) for label in set(known.tolist())}
    assert whole_class or len({*counts.values()}) > 1, "else all weights are alike"
    with torch.no_grad():
        before = start.model(retain)
    for _ in range(epochs):
        slow.step(losses(slow.model(retain), known, before, counts))
    found = unlearned("prq", start, split, epochs, prune_share=share, half=False)
    check_equal(found, slow.model)
    rounded = unlearned("prq", start, split, epochs, prune_share=share)
    for name, value in slow.model.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(rounded.model.state_dict()[name], value.half().double()), name


def test_zeros_of_the_mask_stay_and_all_other_weights_are_drawn():
    start, split = original(), split_of()
    found = unlearned("prq", start, split, 1, prune_share=1.0, lr=1e-12, half=False)
    for name in LAYERS:
        kept = start.mask.get(name, torch.ones(start.model.get_parameter(name).shape) > 0)
        before, after = (one.model.get_parameter(name).detach() for one in (start, found))
        assert not after[~kept].any()
        assert (after[kept] != before[kept]).all()
        assert after.abs().max() <= 1 / math.sqrt(before[0].numel()) + 1e-9
    assert torch.allclose(found.model.norm.weight, start.model.norm.weight, atol=1e-9)


def test_half_precision_keeps_type_and_zeros_and_makes_nothing_infinite():
    model = torch.nn.Linear(3, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0, 1e6, 1 / 3]]))
    round_to_half(model)
    assert model.weight.tolist() == [[0.0, 65504.0, 0.333251953125]]
    assert model.weight.dtype == torch.float32


def test_entropy_of_a_sure_and_of_an_undecided_output():
    logits = torch.tensor([[0.0, 0.0], [1e4, 0.0]])
    assert entropy(logits).tolist() == pytest.approx([math.log(2), 0.0])
