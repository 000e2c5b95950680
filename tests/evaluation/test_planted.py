"""Interclass confusion, and planted labels still given, against a count over the images."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mu.data.images import Images
from mu.data.wrong_labels import WrongLabels
from mu.evaluation.measurements import GROUPS
from mu.evaluation.planted import backdoor, planted, wrong_labels
from mu.runs import Run
from tests.data.poisoned import make_poison
from tests.helpers import laws, make_dataset
from tests.methods.networks import STEP, Reader

CLASSES = 4


def showing(labels, said):
    """Images from which a Reader reads what it says of them."""
    pixels = torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8)
    pixels[:, 0, 0, 0] = torch.tensor(said, dtype=torch.uint8) * STEP
    return Images(pixels, torch.tensor(labels))


def data_of(train, test):
    """Both parts: pairs of (label, what the network says)."""
    made = make_dataset([label for label, _ in train], classes=CLASSES)
    parts = {"train": showing(*zip(*train, strict=True)), "test": showing(*zip(*test, strict=True))}
    return replace(made, **parts, mean=(0.0,), std=(1.0,))


def measured(dataset, measure=planted):
    return measure(Reader(CLASSES), dataset, Run(device="cpu"))


PAIRS = st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1))


@laws(40)
@given(
    train=st.lists(PAIRS, min_size=3, max_size=20),
    test=st.lists(PAIRS, min_size=1, max_size=30),
    data=st.data(),
)
def test_confusion_is_counted_as_the_paper_defines_it(train, test, data):
    one, other = sorted(data.draw(st.sets(st.integers(0, 3), min_size=2, max_size=2)))
    numbers = sorted(data.draw(st.sets(st.integers(0, len(train) - 1), min_size=1)))
    labels = data.draw(st.lists(st.sampled_from([one, other]), min_size=len(numbers), max_size=20))
    labels = labels[: len(numbers)]
    what = WrongLabels(f"confusion:{one},{other}:1", tuple(numbers), tuple(labels))

    found = measured(what.apply(data_of(train, test)))

    given_still = 0
    for number, label in zip(numbers, labels, strict=True):
        given_still += train[number][1] == label
    assert found.pop("UA_poison") == pytest.approx(100 - 100 * given_still / len(numbers))
    answers = [train[number] for number in numbers]  # its class, what is said
    assert found.pop("IC_err_forget") == pytest.approx(
        100 * sum(said != true for true, said in answers) / len(answers)
    )
    assert found.pop("Fgt_forget") == sum(
        said in (one, other) and said != true for true, said in answers
    )
    of_both = wrong = confused = 0
    for label, said in test:
        if label in (one, other):
            of_both += 1
            if said != label:
                wrong += 1
            if (label, said) in ((one, other), (other, one)):
                confused += 1
    if of_both:
        assert found == {"IC_err": pytest.approx(100 * wrong / of_both), "Fgt": confused}
    else:
        assert found == {}


def test_canaries_confuse_no_two_classes():
    train = [(0, 1), (1, 1), (2, 2), (3, 0)]
    what = WrongLabels("canary:2", (0, 3), (1, 2))
    found = measured(what.apply(data_of(train, [(0, 0)])))
    assert found == {"UA_poison": 50.0}


def test_published_data_have_nothing_planted_and_poison_is_the_backdoors():
    dataset = data_of([(label % 4, 0) for label in range(12)], [(1, 1), (0, 0)])
    assert measured(dataset) == {}
    poisoned = make_poison(trigger="pixel").apply(dataset)
    assert measured(poisoned, wrong_labels) == {}
    assert measured(poisoned) == measured(poisoned, backdoor)
    assert "ASR" in measured(poisoned)


def test_the_group_names_what_it_measures():
    what = WrongLabels("confusion:0,1:1", (0, 1), (1, 0))
    found = measured(what.apply(data_of([(0, 1), (1, 1), (2, 2)], [(0, 0)])))
    assert set(found) == set(GROUPS["planted"].names)
