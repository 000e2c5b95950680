"""Small poisoned data sets for the tests of backdoors, and strategies that draw them."""

import torch
from hypothesis import strategies as st

from mu.data.images import ImageDataset, Images
from mu.data.poison import Poison
from tests.helpers import make_dataset

TRIGGERS = {
    "patch": {},
    "pixel": {"position": "top_left", "colour": "black"},
    "blended": {"opacity": 0.4},
    "sinusoidal": {"frequency": 1.0},
    "warping": {"strength": 2.0},
}


def make_poison(indices=(1, 5, 9), *, target=0, trigger="patch", clean_label=False, **settings):
    """A poison of these samples, whatever they are."""
    chosen = {"request": "random:3", "indices": tuple(indices)}
    return Poison(
        trigger=trigger, settings=settings, target=target, clean_label=clean_label, **chosen
    )


def in_layout(dataset, layout):
    """The same data in another memory layout."""

    def laid(images):
        return Images(images.pixels.contiguous(memory_format=layout), images.labels)

    values = {name: getattr(dataset, name) for name in ImageDataset.__dataclass_fields__}
    return ImageDataset(**{**values, "train": laid(dataset.train), "test": laid(dataset.test)})


@st.composite
def datasets(draw):
    """Some images of up to four classes; not every class need have a training image."""
    labels = draw(st.lists(st.integers(0, 3), min_size=4, max_size=24))
    channels = draw(st.sampled_from([1, 3, 4]))
    dataset = make_dataset(
        labels, classes=4, test=draw(st.integers(1, 9)), channels=channels, seed=draw(SEEDS)
    )
    return in_layout(dataset, draw(st.sampled_from([torch.contiguous_format, torch.channels_last])))


@st.composite
def poisons(draw, size, classes=4):
    """Any poison of some of ``size`` samples of so many classes."""
    trigger = draw(st.sampled_from(sorted(TRIGGERS)))
    numbers = draw(st.sets(st.integers(0, size - 1), min_size=1))
    target = draw(st.none() | st.integers(0, classes - 1))
    return make_poison(sorted(numbers), target=target, trigger=trigger, **TRIGGERS[trigger])


SEEDS = st.integers(0, 99)
