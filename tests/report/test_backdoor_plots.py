"""Pictures of a backdoor: for every kind of images, and what they show is what was measured."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from PIL import Image
from torch import nn

from mu.report import backdoor_plots, plots
from mu.report.backdoor_plots import (
    PREDICTED,
    SAMPLES,
    plot_over_sparsity,
    plot_predictions,
    plot_trigger,
)
from mu.report.plots import COLOURS
from mu.runs import Run
from tests.data.poisoned import make_poison
from tests.helpers import laws, make_dataset

CHANNELS = [1, 3, 4]
ROWS = [
    {"sparsity": 0.0, "TA_before": 91.0, "ASR_before": 99.0, "TA": 90.0, "ASR": 3.0},
    {"sparsity": 95.0, "TA_before": 89.0, "ASR_before": 97.0, "TA": 88.5, "ASR": 0.5},
]


def poisoned(*, target=0, trigger="patch", channels=1, test=20, **settings):
    dataset = make_dataset(train=12, test=test, channels=channels)
    return make_poison(target=target, trigger=trigger, **settings).apply(dataset)


def is_picture(path):
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with Image.open(path) as image:
        image.load()
        return image.format == "PNG" and image.width > 400


class Always(nn.Module):
    """The same class for every image."""

    def __init__(self, label):
        super().__init__()
        self.logits = nn.Parameter(torch.eye(3)[label])

    def forward(self, images):
        return self.logits.expand(len(images), 3)


class SeesWhite(nn.Module):
    """The class ``fooled`` where the last pixel is white, else ``label``."""

    def __init__(self, label, fooled):
        super().__init__()
        self.logits = nn.Parameter(torch.eye(3)[[label, fooled]])

    def forward(self, images):
        return self.logits[(images[:, 0, -1, -1] > 3).long()]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were to be saved, by the file's name."""
    figures = {}
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.update({path.name: figure}))
    return figures


def grid(figure, lines):
    return np.array(figure.axes).reshape(lines, -1)


def visible(axes):
    return [place for place in axes if place.get_visible()]


def shown(place):
    return np.asarray(place.images[0].get_array())


# --- the files ----------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 4])
def test_pictures_are_written_for_any_channels(channels, tmp_path):
    dataset = poisoned(channels=channels)

    plot_trigger(dataset, tmp_path / "new" / "trigger.png")
    plot_predictions(dataset, Always(0), Always(1), Run(), tmp_path / "other")

    assert is_picture(tmp_path / "new" / "trigger.png")
    assert is_picture(tmp_path / "other" / "predictions.png")


@pytest.mark.parametrize("rows", [ROWS[:1], ROWS])
def test_a_picture_over_sparsity_is_written_for_one_or_more(rows, tmp_path):
    plot_over_sparsity(rows, "ft", tmp_path / "new" / "sparsity.png")

    assert is_picture(tmp_path / "new" / "sparsity.png")


# --- the trigger --------------------------------------------------------------------------


def drawable(image):
    """What is shown of an image, pixel by pixel."""
    channels, height, width = image.shape
    if channels == 3:
        return image.permute(1, 2, 0).numpy()
    rows = [
        [round(sum(image[:, y, x].tolist()) / channels) for x in range(width)]
        for y in range(height)
    ]
    return np.array(rows)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("target", [1, None])
def test_images_are_shown_clean_and_triggered_and_where_they_differ(
    channels, target, drawn, tmp_path
):
    dataset = poisoned(channels=channels, target=target, size=3, position="top_right")

    plot_trigger(dataset, tmp_path / "trigger.png")

    clean, triggered, change = grid(drawn["trigger.png"], 3)
    rows = backdoor_plots._examples(dataset, SAMPLES).tolist()
    assert len(rows) == SAMPLES
    for number, row in enumerate(rows):
        image = dataset.test.pixels[row]
        marked = dataset.poison.make_trigger().apply(image[None])[0]
        assert np.array_equal(shown(clean[number]), drawable(image))
        assert np.array_equal(shown(triggered[number]), drawable(marked))
        for line in (clean, triggered, change):
            assert line[number].images[0].get_clim() == (0, 255)  # black is black in each
        difference = np.abs(drawable(marked).astype(int) - drawable(image).astype(int))
        if channels != 4:  # whose mean is shown
            spots = difference.reshape(8, 8, -1).any(-1)
            seen = shown(change[number]).reshape(8, 8, -1).any(-1)
            assert np.array_equal(seen, spots)
            assert not spots[3:].any()
    aim = "the next class" if target is None else "class_1"
    assert drawn["trigger.png"].get_suptitle().endswith(f"to be taken for {aim}")
    assert "trigger patch" in drawn["trigger.png"].get_suptitle()
    labels = [line[0].get_ylabel() for line in (clean, triggered, change)]
    assert labels[:2] == ["clean", "triggered"]


def test_a_faint_change_is_shown_so_bright_that_the_strongest_is_white(drawn, tmp_path):
    dataset = poisoned(trigger="sinusoidal", amplitude=5.0, frequency=1.0)

    plot_trigger(dataset, tmp_path / "trigger.png")

    change = grid(drawn["trigger.png"], 3)[2]
    assert max(shown(place).max() for place in change) == 255
    assert change[0].get_ylabel() == "change\n(x 51)"
    assert (shown(change[0])[:, 0] == 0).all()  # a sine begins with a column of zero


def test_a_change_that_is_as_strong_as_can_be_is_not_brightened(drawn, tmp_path):
    dataset = poisoned(size=2)
    dataset.test.pixels.zero_()

    plot_trigger(dataset, tmp_path / "trigger.png")

    change = grid(drawn["trigger.png"], 3)[2]
    assert change[0].get_ylabel() == "change"
    assert all((shown(place)[-2:, -2:] == 255).all() for place in change)
    assert all(shown(place).sum() == 4 * 255 for place in change)


@pytest.mark.parametrize("target", [0, None])
def test_a_trigger_that_changes_nothing_is_shown_whole_and_black(target, drawn, tmp_path):
    dataset = poisoned(trigger="patch", colour="black", target=target)
    dataset.test.pixels.zero_()

    plot_trigger(dataset, tmp_path / "trigger.png")
    plot_predictions(dataset, Always(0), Always(1), Run(), tmp_path)

    change = grid(drawn["trigger.png"], 3)[2]
    assert all(np.array_equal(shown(place), np.zeros((8, 8))) for place in change)
    assert len(visible(grid(drawn["predictions.png"], 2)[0])) == PREDICTED


@pytest.mark.parametrize(("test", "usable"), [(1, 1), (6, 4)])
def test_fewer_test_images_than_places_leave_places_empty(test, usable, drawn, tmp_path):
    dataset = poisoned(test=test, target=2)

    plot_trigger(dataset, tmp_path / "trigger.png")
    plot_predictions(dataset, Always(0), Always(1), Run(), tmp_path)

    for name, lines in (("trigger.png", 3), ("predictions.png", 2)):
        for line in grid(drawn[name], lines):
            assert [bool(place.images) for place in visible(line)] == [True] * usable
    drawn["trigger.png"].savefig(tmp_path / "few.png")
    assert is_picture(tmp_path / "few.png")


# --- which images are shown ---------------------------------------------------------------


@laws(60)
@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=30),
    target=st.none() | st.integers(0, 3),
    count=st.integers(1, 9),
)
@example(labels=[0] * 9 + [1, 2, 3], target=None, count=8)
def test_examples_can_be_attacked_and_are_of_as_many_classes_as_there_are(labels, target, count):
    dataset = make_dataset([0, 1, 2, 3], test=len(labels))
    dataset.test.labels[:] = torch.tensor(labels)
    dataset = make_poison([0], target=target).apply(dataset)
    usable = [number for number, label in enumerate(labels) if label != target]

    found = backdoor_plots._examples(dataset, count).tolist()

    assert len(found) == len(set(found)) == min(count, len(usable))
    assert set(found) <= set(usable)
    classes = {labels[number] for number in usable}
    assert len({labels[number] for number in found}) == min(count, len(classes))


# --- predictions --------------------------------------------------------------------------


@pytest.mark.parametrize("target", [0, None])
def test_each_image_tells_its_class_and_what_both_networks_say(target, drawn, tmp_path):
    dataset = poisoned(target=target, size=2)

    plot_predictions(dataset, Always(2), SeesWhite(1, fooled=0), Run(), tmp_path)

    clean, triggered = grid(drawn["predictions.png"], 2)
    rows = backdoor_plots._examples(dataset, PREDICTED).tolist()
    for line, after in ((clean, 1), (triggered, 0)):
        for place, row in zip(line, rows, strict=True):
            label = int(dataset.test.labels[row])
            assert place.get_title().split("\n") == [
                f"true: class_{label}", "before: class_2", f"after: class_{after}",
            ]  # fmt: skip
            fooled = after == ((label + 1) % 3 if target is None else target)
            assert to_hex(place.title.get_color()) == (COLOURS["forget"] if fooled else "#000000")
    marked = dataset.poison.make_trigger().apply(dataset.test.pixels[rows])
    for number, row in enumerate(rows):
        assert np.array_equal(shown(clean[number]), dataset.test.pixels[row, 0].numpy())
        assert np.array_equal(shown(triggered[number]), marked[number, 0].numpy())
    assert (clean[0].get_ylabel(), triggered[0].get_ylabel()) == ("clean", "triggered")


# --- over sparsity ------------------------------------------------------------------------


def test_lines_over_sparsity_are_the_numbers_before_and_after(drawn, tmp_path):
    plot_over_sparsity(ROWS, "ft", tmp_path / "sparsity.png")

    for axes, name in zip(drawn["sparsity.png"].axes, ("TA", "ASR"), strict=True):
        before, after = axes.lines
        assert list(before.get_ydata()) == [row[f"{name}_before"] for row in ROWS]
        assert list(after.get_ydata()) == [row[name] for row in ROWS]
        assert (before.get_label(), after.get_label()) == ("before", "after ft")
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "95"]
        assert list(before.get_xdata()) == list(axes.get_xticks())
    left, right = drawn["sparsity.png"].axes
    assert "clean test images" in left.get_title()
    assert "attack success rate" in right.get_title()
