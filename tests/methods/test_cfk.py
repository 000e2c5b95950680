"""CF-k: the updates by hand, and nothing below the last blocks moves."""

import pytest
import torch

from mu.methods import make_method
from mu.runs import Run
from tests.methods.exact import SEED, ByHand, check_equal, original, split_of, unlearned, whole
from tests.methods.test_rl import mean_loss

BLIND = ("forget",)
BELOW = ("conv.weight", "norm.weight", "norm.bias")  # of the network of tests.methods.exact


def top_by_hand(start, split, epochs, below=BELOW):
    """What is below stands still, its batch normalisation in evaluation mode."""
    still = {name: torch.zeros_like(start.model.get_parameter(name)) for name in below}
    slow, (retain, known) = ByHand(start, still), whole(split.retain_set)
    slow.model.norm.eval()
    for _ in range(epochs):
        slow.step(mean_loss(slow.model(retain), known))
    return slow.model


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("epochs", [1, 3])
def test_its_updates_are_those_written_out(epochs, k):
    start, split = original(), split_of()
    below = BELOW if k else (*BELOW, "second.weight", "second.bias")
    expected = top_by_hand(start, split, epochs, below)
    check_equal(unlearned("cfk", start, split, epochs, k=k), expected)


@pytest.mark.parametrize("name", ["cfk", "euk"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_all_below_stays_bit_for_bit_and_all_above_moves(name, optimizer):
    start = original()
    settings = {"optimizer": optimizer, "weight_decay": 0.1}
    found = unlearned(name, start, split_of(), 3, **settings)
    assert all(one.requires_grad for one in found.model.parameters())
    for key, value in start.model.state_dict().items():
        still = key.startswith(("conv", "norm"))
        assert torch.equal(found.model.state_dict()[key], value) == still, key


def test_with_all_blocks_it_is_fine_tuning_and_a_note_says_what_is_trained():
    start, split, run = original(), split_of(), Run(device="cpu", seed=SEED)
    whole_network = unlearned("cfk", start, split, 2, k=2).model
    check_equal(unlearned("ft", start, split, 2), whole_network)
    method = make_method("cfk", {"lr": 0.1, "epochs": 1})
    method.unlearn(start, split, run)
    assert run.notes == ["k=1: trained is second, head; the rest is the original's"]
