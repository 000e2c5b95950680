"""Bad teacher: the updates by hand, who teaches whom, and that no label is read."""

import dataclasses

import pytest
import torch

from mu.data.forget_split import ForgetSplit
from mu.runs import generator
from tests.methods.exact import (
    RECIPE,
    SEED,
    ByHand,
    check_equal,
    original,
    split_of,
    unlearned,
    whole,
)


def divergence(ours, theirs, heat):
    """KL(teacher || student): over classes a sum, over samples a mean; number by number."""
    total = 0.0
    for own, other in zip(ours, theirs, strict=True):
        student, teacher = (one.div(heat).softmax(0) for one in (own, other))
        total = total + sum(q * (q / p).log() for p, q in zip(student, teacher, strict=True))
    return total / len(ours)


@pytest.mark.parametrize("heat", [1.0, 2.5])
@pytest.mark.parametrize("epochs", [1, 3])
def test_its_updates_are_those_written_out(heat, epochs):
    start, split = original(), split_of()
    slow, teacher = ByHand(start), original().model.eval()
    number = int(torch.randint(2**31, (), generator=generator(SEED, "stranger")))
    stranger = RECIPE.model.build(number).eval()
    start.mask.apply(stranger)
    part = split.retain_set.drawn(round(0.3 * len(split.retain)), generator(SEED, "retained share"))
    forget, retain = whole(split.forget_set)[0], whole(part)[0]
    assert (len(forget), len(retain)) == (7, 9)
    with torch.no_grad():
        targets = torch.cat([stranger(forget), teacher(retain)])
    for _ in range(epochs):
        slow.step(divergence(slow.model(torch.cat([forget, retain])), targets, heat))
    check_equal(unlearned("bad_teacher", start, split, epochs, temperature=heat), slow.model)


def test_no_label_is_read():
    start, split = original(), split_of()
    draws = torch.Generator().manual_seed(0)
    other = split.dataset.train.relabelled(torch.randint(0, 4, (40,), generator=draws))
    data = dataclasses.replace(split.dataset, train=other)
    blind = ForgetSplit(data, split.forget, split.retain, split.val)
    one, two = (unlearned("bad_teacher", start, each, 2) for each in (split, blind))
    check_equal(one, two.model, 1e-300)
