"""RUM: which samples go where, in which order, what is retained then, and the updates by hand."""

import numpy as np
import pytest
import torch

from mu.checkpoints import forget_split
from mu.methods import make_method
from mu.methods.spelling import spelled_method
from mu.methods.steps.criterion import Standing
from mu.methods.steps.routing import forget_in_turn, in_parts, least_sure, unless_farther
from mu.runs import Run
from tests.helpers import refused
from tests.methods.exact import (
    GIVEN,
    SEED,
    ByHand,
    check_equal,
    original,
    split_of,
    whole,
)
from tests.methods.test_rl import drawn_labels, mean_loss
from tests.methods.test_salun import salient

# By the rule there is nothing to do where the original is as unsure as of unseen images.
SMALL = {"low": "salun:epochs=4", "middle": "ft:epochs=2", "high": "nothing"}
SHARED = {"middle": "ft:epochs=2", "high": "salun:epochs=2"}


def thirds(start, split):
    """The forget set by the original's confidence, image by image, the surest third first."""
    images, labels = whole(split.forget_set)
    sure = {}
    for number, image, label in zip(split.forget.tolist(), images, labels, strict=True):
        sure[number] = float(start.model(image[None]).softmax(1)[0, label].detach())
    order = sorted(sure, key=lambda number: -sure[number])
    assert len(order) == 7
    return order[:2], order[2:4], order[4:]


def spelled(name, epochs):
    """With the settings of a training by hand."""
    pairs = [f"{key}={value}" for key, value in {**GIVEN, "epochs": epochs}.items()]
    return ":".join([name, *pairs])


def of(split, numbers):
    return split.dataset.training_subset(np.sort(numbers))


@pytest.mark.parametrize("epochs", [1, 3])
def test_its_updates_are_those_written_out(epochs):
    """Fine-tuning of the middle third, then random labels on salient weights of the high one."""
    start, split = original(), split_of()
    high = thirds(start, split)[2]
    slow = ByHand(start)
    images, labels = whole(of(split, np.concatenate([split.retain, high])))
    for _ in range(epochs):
        slow.step(mean_loss(slow.model(images), labels))
    between = original()
    between.model.load_state_dict(slow.model.state_dict())
    last = type(split)(split.dataset, np.sort(high), split.retain, split.val)
    slow = ByHand(between, salient(between, last, 0.5))
    (forget, true), (retain, known) = whole(last.forget_set), whole(split.retain_set)
    for epoch in range(epochs):
        slow.step(mean_loss(slow.model(forget), drawn_labels("turns", true, epoch)))
        slow.step(mean_loss(slow.model(retain), known))
    found = original()
    rum = make_method("rum", {"middle": spelled("ft", epochs), "high": spelled("salun", epochs)})
    rum.unlearn(found, split, Run(device="cpu", seed=SEED))
    check_equal(found, slow.model)


def test_a_run_may_tell_memorisation_in_place_of_the_original():
    start, split = original(), split_of()
    other = type(split)(
        split.dataset, split.forget, split.retain, split.val, ranked=split.forget[::-1]
    )
    given = {"middle": spelled("ft", 2), "high": "nothing", "lira_run_id": "abc"}
    with refused("lira_run_id=abc", "7 samples"):
        make_method("rum", given).check(split)
    found, slow = original(), ByHand(start)
    make_method("rum", given).unlearn(found, other, Run(device="cpu", seed=SEED))
    retained = np.concatenate([split.retain, split.forget[::-1][:3]])
    images, labels = whole(of(split, retained))
    assert sorted(retained) != sorted({*split.retain} | {*thirds(start, split)[2]})
    for _ in range(2):
        slow.step(mean_loss(slow.model(images), labels))
    check_equal(found, slow.model)


def test_of_few_samples_the_more_memorised_parts_are_larger():
    parts = [[len(one) for one in in_parts(np.arange(count), 3)] for count in range(1, 6)]
    assert parts == [[0, 0, 1], [0, 1, 1], [1, 1, 1], [1, 1, 2], [1, 2, 2]]
    assert [one.tolist() for one in in_parts(np.array([9, 3, 5, 1, 7]), 3)] == [[7], [1, 5], [3, 9]]


def test_the_proxy_puts_those_first_that_the_original_is_least_sure_of():
    start, split = original(), split_of()
    low, middle, high = thirds(start, split)
    run = Run(device="cpu")
    assert least_sure(start.model, split, run).tolist() == [*low, *middle, *high][::-1]
    assert run.samples_seen == 7


def test_methods_are_spelled_with_settings_and_share_the_limit():
    rum = make_method("rum", {"low": "NegGrad+:epochs=3", "middle": "ft:lr=0.2", "lr": None})
    low, middle, high = rum.methods()
    assert (low.name, low.epochs, middle.lr, high.lr) == ("neggrad", 3, 0.2, None)
    assert (low.max_accuracy_drop, high.max_accuracy_drop) == (0.5, 0.5)
    for text, message in (
        ("ft:epoch=2", "epoch"),
        ("ft:epochs=two", "epochs=two"),
        ("fft", "fft"),
        ("rum", "rum cannot forget a part"),
        ("delete", "delete cannot forget a part"),
    ):
        with refused(message):
            make_method("rum", {"high": text})
    assert spelled_method("prq:half=false", {"lr": 0.5}).half is False
    assert spelled_method("nothing", {"lr": 0.5}).name == "nothing"


def test_the_methods_logs_stay_apart_and_their_notes_name_them():
    start = original()
    split = forget_split(start, split_of().dataset, "random:6")
    run = Run(device="cpu", seed=1)
    given = {"middle": "nothing", "high": "ft:epochs=1"}
    parts = in_parts(split.forget, 3)
    forget_in_turn(make_method("rum", given).methods(), parts, start, split, run)
    assert not run.records
    assert run.notes
    assert all(one.startswith("ft, 2 samples: ") for one in run.notes)
    assert run.samples_seen > 0


class Ranking:
    """A criterion that wants one weight of the head to be near 0, and lets it be so sure."""

    def __init__(self, chance):
        self.chance = chance

    def standing(self, model):
        return Standing(float(model.head.bias[0].detach()), 0.0)

    def rank(self, standing):
        return abs(standing.excess)


@pytest.mark.parametrize(
    ("to", "chance", "ends"), [(1.0, 0.0, 1.0), (-3.0, 0.0, 2.0), (0.0, 2.0, 2.0)]
)
def test_what_ends_farther_from_the_goal_than_it_began_is_undone(to, chance, ends):
    start, run = original(), Run(device="cpu")
    mask = start.mask
    with torch.no_grad():
        start.model.head.bias[0] = 2.0

    def work():
        start.mask = type(mask)({})
        with torch.no_grad():
            start.model.head.bias[0] = to

    unless_farther(Ranking(chance), start, run, work)
    assert start.model.head.bias[0].item() == ends
    assert (start.mask == mask) == (ends == 2.0)
    assert run.metrics["excess_before"] == 2.0
    assert bool(run.notes) == (ends == 2.0)
    assert run.metrics.get("excess", ends) == ends


def test_a_part_that_a_method_refuses_is_left_with_a_note():
    start, split, run = original(), split_of(), Run(device="cpu")
    before = [one.clone() for one in start.model.state_dict().values()]
    numbers = in_parts(split.forget, 1)
    forget_in_turn([make_method("logit_mask")], numbers, start, split, run)
    assert len(run.notes) == 1
    assert run.notes[0].startswith("logit_mask left its 7 samples as they are: method=logit_mask")
    assert all(map(torch.equal, before, start.model.state_dict().values()))
