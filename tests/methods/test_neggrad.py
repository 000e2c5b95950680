"""NegGrad+: a step and its sign by hand, the batches of both sets, batch normalisation."""

import copy

import pytest
import torch

from mu.methods import make_method
from mu.runs import Run
from tests.methods.exact import (
    GIVEN,
    SEED,
    ByHand,
    check_equal,
    original,
    split_of,
    unlearned,
    whole,
)
from tests.methods.test_rl import mean_loss


@pytest.mark.parametrize("statistics", ["batch", "original"])
@pytest.mark.parametrize("epochs", [1, 3])
def test_its_updates_are_those_written_out(statistics, epochs):
    """Both batches by themselves, so that normalisation sees one after the other, or neither."""
    start, split, weight = original(), split_of(), 0.7
    slow = ByHand(start)
    slow.model.train(statistics == "batch")
    (forget, forgotten), (retain, known) = whole(split.forget_set), whole(split.retain_set)
    for _ in range(epochs):
        down = weight * mean_loss(slow.model(retain), known)
        slow.step(down - (1 - weight) * mean_loss(slow.model(forget), forgotten))
    settings = {"retain_weight": weight, "batch_norm": statistics}
    check_equal(unlearned("neggrad", start, split, epochs, **settings), slow.model)
    if statistics == "original":
        assert torch.equal(slow.model.norm.running_mean, start.model.norm.running_mean)


def test_the_forget_set_is_gone_through_again_in_another_order(monkeypatch):
    seen, split = [], split_of()
    start = original()

    class Spy(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, images):
            seen.append(images)
            return self.inner(images)

    checkpoint = copy.deepcopy(start)
    checkpoint.model = Spy(checkpoint.model)
    checkpoint.mask = type(start.mask)({})
    settings = {**GIVEN, "epochs": 1, "batch_size": 5, "forget_batch_size": 3}
    run = Run(device="cpu", seed=SEED)
    make_method("neggrad", settings).unlearn(checkpoint, split, run)
    ours = [batch for batch in seen if len(batch) in (2, 3)]
    rounds = [torch.cat(ours[place : place + 3]) for place in range(0, len(ours) - 2, 3)]
    assert len(rounds) > 1
    everything = whole(split.forget_set)[0].flatten(1)
    for one in rounds:  # each of them the whole set
        found = {tuple(image.tolist()) for image in one.flatten(1)}
        assert found == {tuple(image.tolist()) for image in everything}
    assert not torch.equal(rounds[0], rounds[1])
    assert run.samples_seen == sum(map(len, seen))
