"""EU-k: what is drawn anew, within which mask, and the updates by hand."""

import copy

import pytest
import torch

from mu.runs import generator
from tests.methods.exact import RECIPE, SEED, check_equal, original, split_of, unlearned
from tests.methods.test_cfk import top_by_hand

SMALL = {"epochs": 8}  # until what was drawn anew is trained
BLIND = ("forget",)


def drawn_anew(start):
    """The top as the architecture draws it; pruned weights are zero again."""
    found = copy.deepcopy(start)
    seed = int(torch.randint(2**31, (), generator=generator(SEED, "stranger")))
    fresh = RECIPE.model.build(seed)
    for name in ("second.weight", "second.bias", "head.weight", "head.bias"):
        kept = start.mask.get(name, 1.0)
        found.model.get_parameter(name).data.copy_(fresh.get_parameter(name).detach() * kept)
    return found


@pytest.mark.parametrize("epochs", [1, 3])
def test_its_updates_are_those_written_out(epochs):
    start, split = original(), split_of()
    assert not torch.equal(drawn_anew(start).model.head.bias, start.model.head.bias)
    expected = top_by_hand(drawn_anew(start), split, epochs)
    check_equal(unlearned("euk", start, split, epochs), expected)


@pytest.mark.parametrize("statistics", ["batch", "original"])
def test_running_statistics_of_what_is_drawn_anew_begin_anew(statistics):
    """All blocks are, and a learning rate of next to nothing leaves what was begun with."""
    start, split = original(), split_of()
    found = unlearned("euk", start, split, 1, k=2, lr=1e-12, batch_norm=statistics).model.norm
    if statistics == "original":
        assert torch.equal(found.running_mean, start.model.norm.running_mean)
    else:
        assert int(found.num_batches_tracked) == 1 != int(start.model.norm.num_batches_tracked)
        assert float(found.running_var.min()) > 0.8  # 0.9 of 1, and a tenth of the batch's
