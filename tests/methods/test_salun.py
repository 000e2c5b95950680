"""SalUn: the updates by hand, which weights move, and that the others do not at all."""

import pytest
import torch

from tests.helpers import bits
from tests.methods.exact import ByHand, check_equal, original, split_of, unlearned, whole
from tests.methods.test_rl import drawn_labels, mean_loss


def salient(start, split, share):
    """The weights with the largest gradients, found one by one; pruned ones take no part."""
    images, labels = whole(split.forget_set)
    names = dict(start.model.named_parameters())
    pairs = zip(images, labels, strict=True)
    loss = sum(mean_loss(start.model(image[None]), label[None]) for image, label in pairs)
    gradients = dict(zip(names, torch.autograd.grad(loss, list(names.values())), strict=True))
    sizes = sorted(
        (abs(float(value)), name, place)
        for name, gradient in gradients.items()
        for place, value in enumerate(gradient.flatten())
        if name not in start.mask or start.mask[name].flatten()[place]
    )
    moves = {name: torch.zeros(one.shape) for name, one in names.items()}
    for _, name, place in sizes[len(sizes) - round(share * len(sizes)) :]:
        moves[name].view(-1)[place] = 1
    return moves


@pytest.mark.parametrize("share", [0.5, 0.2])
@pytest.mark.parametrize("epochs", [1, 3])
def test_its_updates_are_those_written_out(share, epochs):
    start, split = original(), split_of()
    slow = ByHand(start, salient(start, split, share))
    (forget, true), (retain, known) = whole(split.forget_set), whole(split.retain_set)
    for epoch in range(epochs):
        labels = drawn_labels("turns", true, epoch)
        slow.step(mean_loss(slow.model(forget), labels))
        slow.step(mean_loss(slow.model(retain), known))
    check_equal(unlearned("salun", start, split, epochs, saliency=share), slow.model)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_weights_outside_saliency_and_mask_are_the_originals_bit_for_bit(optimizer):
    start, split = original(), split_of()
    moves = salient(start, split, 0.3)
    strong = {"optimizer": optimizer, "weight_decay": 0.1, "momentum": 0.9, "saliency": 0.3}
    found = unlearned("salun", start, split, 3, **strong)
    count = 0
    for name, weight in start.model.named_parameters():
        still = moves[name] == 0
        after = found.model.get_parameter(name)
        assert (bits(after[still]) == bits(weight[still])).all(), name
        assert (after[~still] != weight[~still]).all()
        count += int((~still).sum())
    kept = sum(one.numel() for one in start.model.parameters()) - start.mask.total + start.mask.kept
    assert count == round(0.3 * kept)
    assert not torch.equal(found.model.norm.running_mean, start.model.norm.running_mean)
