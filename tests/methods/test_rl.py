"""Random labels: the updates by hand, in each variant, and what labels are drawn."""

import pytest
import torch

from mu.methods import make_method
from mu.runs import generator
from tests.helpers import refused
from tests.methods.exact import SEED, ByHand, check_equal, original, split_of, unlearned, whole


def mean_loss(logits, labels):
    """Cross-entropy, sample by sample."""
    losses = [-row.log_softmax(0)[label] for row, label in zip(logits, labels, strict=True)]
    return sum(losses) / len(losses)


def drawn_labels(variant, true, epoch, classes=4):
    if variant == "amnesiac":  # one of the others
        draws = generator(SEED, "wrong labels")
        return (true + torch.randint(1, classes, true.shape, generator=draws)) % classes
    draws = generator(SEED, f"random labels of epoch {epoch}")
    return torch.randint(classes, true.shape, generator=draws)


@pytest.mark.parametrize("variant", ["turns", "mixed", "amnesiac"])
@pytest.mark.parametrize("epochs", [1, 3])
def test_its_updates_are_those_written_out(variant, epochs):
    start, split = original(), split_of()
    slow = ByHand(start)
    (forget, true), (retain, known) = whole(split.forget_set), whole(split.retain_set)
    for epoch in range(epochs):
        labels = drawn_labels(variant, true, epoch)
        if variant == "turns":
            slow.step(mean_loss(slow.model(forget), labels))
            slow.step(mean_loss(slow.model(retain), known))
        else:
            together = torch.cat([forget, retain])
            slow.step(mean_loss(slow.model(together), torch.cat([labels, known])))
    check_equal(unlearned("rl", start, split, epochs, variant=variant), slow.model)


def test_a_preset_gives_what_is_published_and_what_is_given_counts():
    method = make_method("amnesiac", {"preset": "paper", "epochs": 5})
    assert (method.variant, method.lr, method.optimizer) == ("amnesiac", 1e-4, "adam")
    assert method.epochs == 5
    assert make_method("rl", method.as_dict()) == method
    by_hand = make_method("rl", {**method.as_dict(), "preset": None})
    assert by_hand.identity() == method.identity() != make_method("rl").identity()
    with refused("unknown preset of method rl", "'papr'", "did you mean paper"):
        make_method("rl", {"preset": "papr"})
    with refused("max_accuracy_drop=3 has no effect beside lr"):
        make_method("rl", {"preset": "paper", "max_accuracy_drop": 3})
