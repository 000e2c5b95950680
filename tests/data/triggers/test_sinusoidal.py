"""The sine against a loop over all bytes; sines that no column shows."""

import math

import pytest
import torch

from mu.data.triggers.sinusoidal import Sinusoidal
from tests.data.triggers.images import everywhere, images
from tests.helpers import refused


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 9, 8), (2, 4, 32)])
@pytest.mark.parametrize(("amplitude", "frequency"), [(20, 6), (1, 1), (255, 0.3), (60, 2.3)])
def test_every_byte_is_raised_by_the_sine_of_its_column(shape, amplitude, frequency):
    pixels = images(shape)

    found = Sinusoidal(amplitude=amplitude, frequency=frequency).apply(pixels)

    for n, channel, y, x in everywhere(pixels):
        sine = amplitude * math.sin(2 * math.pi * x * frequency / shape[2])
        expected = min(255, max(0, round(pixels[n, channel, y, x].item() + sine)))
        assert found[n, channel, y, x] == expected


@pytest.mark.parametrize(
    ("settings", "width"),
    [({}, 4), ({}, 6), ({}, 12), ({"frequency": 32}, 32), ({"amplitude": 0.4}, 32)],
)
def test_a_sine_that_changes_nothing_is_refused(settings, width):
    trigger = Sinusoidal(**settings)

    with refused(
        f"trigger_amplitude={trigger.amplitude:g} with trigger_frequency={trigger.frequency:g}",
        f"width {width}",
        "give another",
    ):
        trigger.check((3, 8, width))
    with refused("changes no image"):
        trigger.apply(images((3, 8, width)))


@pytest.mark.parametrize("width", [8, 28, 32, 64, 224])
def test_the_usual_sine_shows_in_usual_images(width):
    Sinusoidal().check((3, 8, width))


def test_half_a_grey_level_is_enough():
    trigger = Sinusoidal(amplitude=0.5, frequency=8)
    pixels = images((1, 8, 32))

    trigger.check((1, 8, 32))
    assert not torch.equal(trigger.apply(pixels), pixels)


@pytest.mark.parametrize(
    ("key", "value"), [("amplitude", 0), ("amplitude", 256), ("frequency", 0), ("frequency", 1e308)]
)
def test_numbers_out_of_range_are_refused(key, value):
    with refused(f"{key}={float(value)}", "above 0"):
        Sinusoidal(**{key: value})
