"""The single pixel: the square of the patch, of side one, a pixel away from the edges."""

import pytest

from mu.data.triggers.placed import POSITIONS
from mu.data.triggers.square import Pixel
from tests.data.triggers.images import COLOUR, images
from tests.data.triggers.test_patch import assert_square
from tests.helpers import refused


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("size", [(8, 8), (4, 4), (9, 6)])
def test_one_pixel_changes_and_no_other(position, size):
    assert_square(Pixel(position=position), (3, *size), 1, lambda *_: 255)


def test_usually_it_is_the_last_but_one_of_the_last_row_but_one():
    pixels = images(COLOUR, 1) // 2

    places = (Pixel().apply(pixels) != pixels)[0].any(dim=0).nonzero()

    assert places.tolist() == [[6, 6]]


@pytest.mark.parametrize("margin", [0, 3, 7])
@pytest.mark.parametrize("colour", ["black", "checker", "#102030"])
def test_margin_and_colour_are_those_of_the_patch(margin, colour):
    values = {"black": (0, 0, 0), "checker": (255, 255, 255), "#102030": (16, 32, 48)}[colour]

    trigger = Pixel(margin=margin, colour=colour, position="top_left")

    assert_square(trigger, COLOUR, 1, lambda channel, *_: values[channel])


def test_it_has_no_size_and_its_margin_must_fit():
    assert "size" not in Pixel.names()
    with refused("trigger_margin=8: larger than the 8x8 images", "give"):
        Pixel(margin=8).check((3, 8, 8))
    with refused("trigger_margin=3 has no effect"):
        Pixel(margin=3, position="center")
    with refused("trigger_colour='purple'"):
        Pixel(colour="purple")
