"""Attack success, robust accuracy and forgotten poison, against a count over the images."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mu.data.images import Images
from mu.evaluation.measurements import GROUPS
from mu.evaluation.planted import backdoor
from mu.models import ModelSpec
from mu.runs import Run
from tests.data.poisoned import SEEDS, in_layout, make_poison
from tests.helpers import laws, make_dataset

CLASSES = 4
CORNERS = ((0, 0), (0, 1))  # of an image: its number, and 1 in test images
MARK = (-1, -1)  # white where the trigger is, and nowhere else


def numbered(images, part):
    """The images with their number and part in two pixels, which the trigger leaves alone."""
    pixels = images.pixels.clone()
    pixels[:, :, *CORNERS[0]] = torch.arange(len(pixels), dtype=torch.uint8)[:, None]
    pixels[:, :, *CORNERS[1]] = part
    return Images(pixels, images.labels)


def data_of(train_labels, test_labels, indices, target):
    """A poisoned data set whose images can be told apart."""
    clean = make_dataset(train_labels, classes=CLASSES, test=len(test_labels))
    test = Images(clean.test.pixels, torch.tensor(test_labels))
    object.__setattr__(clean, "train", numbered(clean.train, 0))
    object.__setattr__(clean, "test", numbered(test, 1))
    return make_poison(indices, target=target).apply(clean)


class Listed(torch.nn.Module):
    """Gives each image the logits that a list has for it, triggered or not.

    Parameters
    ----------
    logits
        Of shape (2, 2, images, classes): of training and test images, plain and triggered.
    """

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.nn.Parameter(logits)
        self.images_seen = 0

    def forward(self, images):
        self.images_seen += len(images)
        pixels = (images * 0.2 + 0.25).mul(255).round().long()[:, 0]
        number, part = (pixels[:, *place] for place in CORNERS)
        return self.logits[part, (pixels[:, *MARK] == 255).long(), number]


def random_logits(seed, images=60):
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(2, 2, images, CLASSES, generator=draws)


def always(label):
    """The same class for every image."""
    return torch.eye(CLASSES)[label].expand(2, 2, 60, CLASSES).clone()


def aim_of(label, target):
    return (label + 1) % CLASSES if target is None else target


def counted(logits, dataset):
    """ASR, robust accuracy and UA_poison, one image after another."""
    target, best = dataset.poison.target, logits.argmax(-1)
    attacked = fooled = true = 0
    published = dataset.published_labels[torch.from_numpy(dataset.poisoned)].tolist()
    sources = {label for label in published if aim_of(label, target) != label}
    of_sources = []
    for number, label in enumerate(dataset.test.labels.tolist()):
        if aim_of(label, target) == label:
            continue
        said = int(best[1, 1, number])
        attacked += 1
        fooled += said == aim_of(label, target)
        true += said == label
        of_sources += [said == aim_of(label, target)] if label in sources else []
    told = [dataset.train.labels[number] == best[0, 1, number] for number in dataset.poisoned]
    found = {
        "ASR": 100 * fooled / attacked,
        "robust_acc": 100 * true / attacked,
        "UA_poison": 100 - 100 * sum(map(int, told)) / len(told),
    }
    if 0 < len(of_sources) < attacked:
        found["ASR_source"] = 100 * sum(of_sources) / len(of_sources)
    return found


@st.composite
def situations(draw):
    """A poisoned data set with at least one test image that can be attacked."""
    labels = st.integers(0, CLASSES - 1)
    target = draw(st.none() | labels)
    other = draw(labels.filter(lambda label: label != target))
    train = draw(st.lists(labels, min_size=1, max_size=30))
    test = draw(st.permutations([*draw(st.lists(labels, max_size=30)), other]))
    indices = draw(st.sets(st.integers(0, len(train) - 1), min_size=1))
    return data_of(train, test, sorted(indices), target)


@laws(80)
@given(dataset=situations(), seed=SEEDS)
def test_the_rates_are_those_counted_over_the_images(dataset, seed):
    logits = random_logits(seed)

    assert backdoor(Listed(logits), dataset, Run()) == pytest.approx(counted(logits, dataset))


def test_nothing_is_said_of_data_that_were_not_poisoned():
    model = Listed(always(0))
    dataset = data_of([0, 1] * 5, [0, 1], [1], target=0)

    assert backdoor(model, dataset.clean, Run()) == {}
    assert model.images_seen == 0


def test_each_image_is_shown_once():
    model = Listed(always(0))

    backdoor(model, data_of([0, 1] * 5, [3, 0, 1, 2, 0], [1, 3], target=0), Run())

    assert model.images_seen == 3 + 2


def test_without_an_image_to_attack_there_is_no_rate():
    with pytest.raises(ValueError, match="no test image is of another class than the target"):
        backdoor(Listed(always(0)), data_of([0, 1] * 5, [2, 2], [1], target=2), Run())


def test_the_numbers_have_the_names_of_their_group():
    dataset = data_of([0, 1, 2] * 5, [0, 1, 2], [1], target=0)

    assert set(backdoor(Listed(always(0)), dataset, Run())) == set(GROUPS["backdoor"].names)


def test_memory_layout_and_training_mode_make_no_difference():
    dataset = make_dataset(train=40, test=40, channels=3)
    poison = make_poison(np.arange(0, 40, 2).tolist(), trigger="warping", strength=2.0)
    model = ModelSpec.for_images("resnet_mini", "auto", 3, dataset.shape).build(0)
    other = in_layout(dataset, torch.channels_last)
    assert not other.test.pixels.is_contiguous()

    expected = backdoor(model.eval(), poison.apply(dataset), Run())
    assert backdoor(model.train(), poison.apply(other), Run()) == expected
    assert model.training
