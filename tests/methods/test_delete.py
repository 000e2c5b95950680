"""DELETE: the updates by hand, and that it is refused where no class goes as a whole."""

import pytest
import torch

from mu.methods import make_method
from tests.helpers import refused
from tests.methods.exact import ByHand, check_equal, original, split_of, unlearned, whole

BLIND = ("retain",)
SMALL = {"batch_size": 4}  # several batches, so that their order is drawn


def without(logits, label):
    """Softmax over the other classes, as logits."""
    others = torch.cat([logits[:label], logits[label + 1 :]]).log_softmax(0)
    return torch.cat([others[:label], logits.new_tensor([-1e10]), others[label:]])


def distance(ours, theirs, labels):
    """KL over the classes that are left; the one that is gone adds 0 log 0."""
    total = 0.0
    for own, other, label in zip(ours, theirs, labels, strict=True):
        student, teacher = own.log_softmax(0), other.softmax(0)
        places = [place for place in range(len(own)) if place != label]
        total = total + sum(teacher[n] * (teacher[n].log() - student[n]) for n in places)
    return total / len(ours)


@pytest.mark.parametrize("statistics", ["original", "batch"])
@pytest.mark.parametrize("epochs", [1, 3])
def test_its_updates_are_those_written_out(statistics, epochs):
    start, split = original(), split_of(whole_class=True)
    slow, teacher = ByHand(start), original().model.eval()
    slow.model.train(statistics == "batch")
    images, labels = whole(split.forget_set)
    with torch.no_grad():
        targets = torch.stack(
            [without(row, int(label)) for row, label in zip(teacher(images), labels, strict=True)]
        )
    for _ in range(epochs):
        slow.step(distance(slow.model(images), targets, labels))
    found = unlearned("delete", start, split, epochs, batch_norm=statistics)
    check_equal(found, slow.model)
    if statistics == "original":
        assert torch.equal(found.model.norm.running_var, start.model.norm.running_var)


def test_random_samples_are_refused_before_any_work():
    with refused("method=delete forgets whole classes", "give forget=class:3"):
        make_method("delete").check(split_of())
    make_method("delete").check(split_of(whole_class=True))
