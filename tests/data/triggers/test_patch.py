"""The patch, pixel by pixel: which ones it covers and with what; and what does not fit."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mu.data.triggers.placed import POSITIONS
from mu.data.triggers.square import COLOURS, Patch
from tests.data.triggers.images import COLOUR, GREY, everywhere, images
from tests.helpers import laws, refused


def covered(position, side, margin, height, width):
    """The pixels of the square, by their row and column within it."""
    down, right = position.partition("_")[::2]
    found = {}
    for row in range(side):
        for column in range(side):
            y = margin + row if down == "top" else height - margin - side + row
            x = margin + column if right == "left" else width - margin - side + column
            if position == "center":
                y, x = (height - side) // 2 + row, (width - side) // 2 + column
            found[y, x] = (row, column)
    return found


def assert_square(trigger, shape, side, value):
    """Every covered byte is ``value(channel, row, column)``, every other one as it was."""
    margin = 0 if trigger.position == "center" else trigger.margin
    places = covered(trigger.position, side, margin, *shape[1:])
    assert len(places) == side * side
    assert all(0 <= y < shape[1] and 0 <= x < shape[2] for y, x in places)
    pixels = images(shape, 2)

    found = trigger.apply(pixels)

    for n, channel, y, x in everywhere(pixels):
        inside = places.get((y, x))
        expected = value(channel, *inside) if inside else pixels[n, channel, y, x]
        assert found[n, channel, y, x] == expected


def value_of(colour, channel, row, column):
    if colour == "checker":
        return 255 if row % 2 == column % 2 else 0
    return {"white": 255, "black": 0}[colour]


@given(
    st.sampled_from(POSITIONS),
    st.sampled_from(COLOURS),
    st.integers(1, 6),
    st.integers(0, 4),
    st.tuples(st.integers(1, 4), st.integers(4, 9), st.integers(4, 9)),
)
@laws()
def test_the_expected_pixels_change_and_no_others(position, colour, side, margin, shape):
    margin = 0 if position == "center" else margin
    assume(side + margin <= min(shape[1:]) and shape[1:] != (side, side))
    trigger = Patch(position=position, margin=margin, colour=colour, size=side)

    assert_square(trigger, shape, side, lambda *place: value_of(colour, *place))


@pytest.mark.parametrize(
    ("size", "side"), [((32, 32), 4), ((8, 8), 2), ((4, 4), 2), ((64, 31), 3), ((20, 40), 2)]
)
def test_the_usual_size_is_an_eighth_of_the_shorter_side(size, side):
    assert_square(Patch(), (1, *size), side, lambda *_: 255)


def test_the_chessboard_begins_with_white():
    found = Patch(colour="checker", size=3, position="top_left").apply(images(COLOUR, 1))

    white, black = 255, 0
    for channel in found[0, :, :3, :3].tolist():
        assert channel == [[white, black, white], [black, white, black], [white, black, white]]


@pytest.mark.parametrize("typed", ["#ff8001", "#FF8001"])
def test_a_colour_has_a_value_for_each_channel(typed):
    assert_square(Patch(colour=typed), COLOUR, 2, lambda channel, *_: (255, 128, 1)[channel])


@pytest.mark.parametrize(
    ("colour", "grey"),
    [
        ("#ffffff", 255),
        ("#000000", 0),
        ("#ff0000", 76),
        ("#00ff00", 150),
        ("#0000ff", 29),
        ("#808080", 128),
    ],
)
def test_a_colour_is_its_luminance_in_grey_images(colour, grey):
    assert_square(Patch(colour=colour), GREY, 2, lambda *_: grey)


# --- what is refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "colour", ["purple", "White", "#ff800", "#ff80010", "#gg0000", "ff8001", ""]
)
def test_unknown_colours_are_refused(colour):
    with refused(f"trigger_colour={colour!r}", "white, black, checker", "#RRGGBB"):
        Patch(colour=colour)


@pytest.mark.parametrize("channels", [2, 4])
def test_a_colour_needs_channels_that_make_one(channels):
    trigger = Patch(colour="#ff8001")

    with refused("trigger_colour='#ff8001'", f"{channels} channels", "white or black or checker"):
        trigger.check((channels, 8, 8))
    with refused("trigger_colour='#ff8001'"):
        trigger.apply(images((channels, 8, 8)))


def test_an_unknown_position_is_refused():
    with refused("unknown position 'bottom'", "bottom_left"):
        Patch(position="bottom")


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"size": 9}, (8, 8)),
        ({"size": 9}, (12, 8)),
        ({"size": 7, "margin": 2}, (8, 8)),
        ({"size": 7, "margin": 2}, (8, 12)),
        ({"size": 8}, (8, 8)),  # nothing would be left
        ({"size": 8, "position": "center"}, (8, 8)),
        ({"size": 9, "position": "center"}, (8, 12)),
        ({"margin": 7}, (8, 8)),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(settings, size):
    trigger = Patch(**settings)
    said = [f"trigger_{key}={value}" for key, value in settings.items() if key != "position"]

    with refused(*said, f"{size[0]}x{size[1]} images", "give"):
        trigger.check((3, *size))
    with refused(*said):
        trigger.apply(images((3, *size)))


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"size": 7}, (8, 8)),
        ({"size": 8}, (8, 9)),
        ({"size": 7, "margin": 1}, (8, 8)),
        ({"size": 7, "position": "center"}, (8, 8)),
        ({"margin": 6}, (8, 8)),
    ],
)
def test_the_largest_patch_that_fits_is_taken(settings, size):
    Patch(**settings).check((3, *size))


@pytest.mark.parametrize("settings", [{"size": 0}, {"margin": -1}])
def test_numbers_out_of_range_are_refused(settings):
    ((key, value),) = settings.items()

    with refused(f"{key}={value}", "at least"):
        Patch(**settings)


def test_a_margin_without_effect_is_refused():
    with refused("trigger_margin=3 has no effect", "trigger_position=center"):
        Patch(position="center", margin=3)
