"""SSD: importance and dampening by hand, pruned weights, and what the rule finds."""

import copy

import pytest
import torch

from mu.methods import make_method
from mu.methods.steps.importance import importance, left, ratios
from mu.runs import Run
from tests.methods.exact import SEED, check_equal, original, split_of, whole
from tests.methods.test_rl import mean_loss

SHARED = {"alpha": 0.5, "importance": "batch"}  # of several processes, which draw other signs


def gradients(model, loss):
    names = dict(model.named_parameters())
    return dict(zip(names, torch.autograd.grad(loss, list(names.values())), strict=True))


def of_batches(model, subset, size, loss, how):
    """The mean over batches of what ``how`` makes of a batch's gradients."""
    images, labels = whole(subset)
    places = torch.arange(len(images)).tensor_split(max(1, -(-len(images) // size)))
    found = [gradients(model, loss(model(images[at]), labels[at])) for at in places]
    return {name: sum(how(one[name]) for one in found) / len(found) for name in found[0]}


def length(logits, _labels):
    return sum(sum(value**2 for value in row) for row in logits) / len(logits)


@pytest.mark.parametrize(
    ("kind", "loss", "how"),
    [("batch", mean_loss, torch.square), ("outputs", length, torch.abs)],
)
@pytest.mark.parametrize("alpha", [0.3, 1.5])
def test_weights_are_damped_as_written_out(kind, loss, how, alpha):
    start, split = original(), split_of()
    forget, every = (
        of_batches(start.model.eval(), one, 10, loss, how)
        for one in (split.forget_set, split.training_set)
    )
    expected, count = copy.deepcopy(start.model), 0
    with torch.no_grad():
        for name, weight in expected.named_parameters():
            own, all_of_it = forget[name].view(-1), every[name].view(-1)
            for place in range(weight.numel()):
                if own[place] > alpha * all_of_it[place]:
                    weight.view(-1)[place] *= min(0.7 * float(all_of_it[place] / own[place]), 1.0)
                    count += 1
    assert count > 5
    found = copy.deepcopy(start)
    settings = {"alpha": alpha, "dampening": 0.7, "importance": kind, "batch_size": 10}
    make_method("ssd", settings).unlearn(found, split, Run(device="cpu", seed=SEED))
    check_equal(found, expected)


def test_by_sample_each_of_them_is_squared_by_itself():
    """On average over the signs: the expectation over the network's own predictions."""
    start, split = original(), split_of()
    images, _ = whole(split.forget_set)
    expected = {}
    for image in images:
        logits = start.model.eval()(image[None])[0]
        for label, likely in enumerate(logits.detach().softmax(0)):
            loss = -start.model(image[None])[0].log_softmax(0)[label]
            for name, one in gradients(start.model, loss).items():
                expected[name] = expected.get(name, 0) + likely * one.square() / len(images)
    runs = [Run(device="cpu", seed=seed) for seed in range(30)]
    found = sum(importance(start, split.forget_set, one, "sample", 10) for one in runs) / 30
    kept = {name: start.mask.get(name, 1) for name in expected}
    total = sum(float((one * kept[name]).sum()) for name, one in expected.items())
    assert float(found.sum()) == pytest.approx(total, rel=0.1)


def test_nothing_is_divided_by_zero():
    """Of a weight that matters to neither, and of one that matters to the forget set alone."""
    forget, every = torch.tensor([0.0, 0.0, 2.0, 1.0]), torch.tensor([0.0, 1.0, 0.0, 4.0])
    found = ratios(forget, every)
    assert found.tolist() == [0.0, 0.0, float("inf"), 0.25]
    assert left(found, 0.2, 0.1).tolist() == pytest.approx([1.0, 1.0, 0.0, 0.4])
    assert left(found, 10.0, 1.0).tolist() == [1.0, 1.0, 0.0, 1.0]


def test_what_is_left_falls_steadily_where_no_dampening_is_given():
    ratio = torch.linspace(0, 20, 2001)
    alphas = torch.logspace(2, -2, 200)
    found = torch.stack([left(ratio, float(alpha), float(alpha)) for alpha in alphas])
    assert (found.diff(dim=0) <= 1e-6).all()
    assert found.diff(dim=0).abs().max() < 0.06
