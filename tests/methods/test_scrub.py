"""SCRUB: the updates by hand, the teacher, and which epochs forget."""

import pytest
import torch

from tests.methods.exact import ByHand, check_equal, original, split_of, unlearned, whole
from tests.methods.test_rl import mean_loss

GAMMA, ALPHA, HEAT = 0.9, 0.4, 3.0


def distance(ours, theirs, heat):
    """T^2 KL(teacher || student): over classes a sum, over samples a mean; number by number."""
    total = 0.0
    for own, other in zip(ours, theirs, strict=True):
        student, teacher = (one.div(heat).exp() / one.div(heat).exp().sum() for one in (own, other))
        total = total + sum(q * (q.log() - p.log()) for p, q in zip(student, teacher, strict=True))
    return heat**2 * total / len(ours)


@pytest.mark.parametrize("epochs", [1, 3])
def test_its_updates_are_those_written_out(epochs):
    """The teacher normalises by its statistics: in training mode it would say something else."""
    start, split = original(), split_of()
    slow, teacher = ByHand(start), original().model.eval()
    (forget, _), (retain, known) = whole(split.forget_set), whole(split.retain_set)
    with torch.no_grad():
        of_forget, of_retain = teacher(forget), teacher(retain)
        assert float((teacher.train()(forget) - of_forget).abs().max()) > 0.01
    for epoch in range(epochs):
        if epoch < 2:
            slow.step(-distance(slow.model(forget), of_forget, HEAT))
        ours = slow.model(retain)
        slow.step(GAMMA * mean_loss(ours, known) + ALPHA * distance(ours, of_retain, HEAT))
    settings = {"label_weight": GAMMA, "teacher_weight": ALPHA, "temperature": HEAT}
    found = unlearned("scrub", start, split, epochs, forget_epochs=2, **settings)
    check_equal(found, slow.model)
