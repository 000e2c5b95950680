"""A picture as a trigger: pixel by pixel where it lies and how it blends; what is refused."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mu.data.triggers.picture import Picture
from mu.hyperparameters import Hyperparameters
from tests.data.triggers.images import COLOUR, GREY, MARK, everywhere, images
from tests.helpers import refused

ROWS = [  # of the file mark.png: red, green, blue, alpha
    [(255, 255, 255, 255), (255, 0, 0, 255), (0, 255, 0, 128)],
    [(0, 0, 255, 0), (200, 100, 50, 200), (255, 255, 255, 255)],
]


def blended(byte, pixel, channel, channels):
    *colour, alpha = pixel
    grey = (299 * colour[0] + 587 * colour[1] + 114 * colour[2]) / 1000
    value = colour[channel] if channels == 3 else round(grey)
    return (byte * (255 - alpha) + value * alpha) / 255


@pytest.mark.parametrize("shape", [COLOUR, GREY, (2, 8, 8), (3, 9, 5)])
@pytest.mark.parametrize(
    ("position", "margin", "corner"),
    [
        ("top_left", 0, lambda height, width: (0, 0)),
        ("bottom_right", 1, lambda height, width: (height - 3, width - 4)),
        ("2,5", 0, lambda height, width: (5, 2)),
        ("0,0", 0, lambda height, width: (0, 0)),
    ],
)
def test_it_blends_by_its_alpha_where_it_lies_and_nowhere_else(shape, position, margin, corner):
    pixels = images(shape, 2)
    top, left = corner(*shape[1:])

    found = Picture(image=str(MARK), position=position, margin=margin).apply(pixels)

    for n, channel, y, x in everywhere(pixels):
        byte = int(pixels[n, channel, y, x])
        if top <= y < top + 2 and left <= x < left + 3:
            expected = blended(byte, ROWS[y - top][x - left], channel, shape[0])
            assert abs(int(found[n, channel, y, x]) - expected) <= 0.5 + 1e-9 + (shape[0] != 3)
        else:
            assert found[n, channel, y, x] == byte


def picture(folder, size, colour=(10, 20, 30, 255), name="one.png"):
    path = folder / name
    Image.new("RGBA", size, colour).save(path)
    return str(path)


def test_a_larger_picture_is_resized_to_the_whole_image_and_it_is_said(tmp_path):
    trigger = Picture(image=picture(tmp_path, (64, 48), (9, 8, 7, 255)))

    assert set(trigger.apply(images(COLOUR))[:, 0].flatten().tolist()) == {9}
    assert "8x8 pixels, resized from 64x48" in trigger.in_words(COLOUR)


def test_a_picture_that_fits_stays_as_it_is_unless_a_size_is_given(tmp_path):
    path = picture(tmp_path, (4, 2))
    plain, resized = Picture(image=path), Picture(image=path, size=6)

    def changed(trigger):
        black = torch.zeros(1, *COLOUR, dtype=torch.uint8)
        rows, columns = (trigger.apply(black)[0, 0] > 0).nonzero(as_tuple=True)
        return len(set(rows.tolist())), len(set(columns.tolist()))

    assert changed(plain) == (2, 4)
    assert changed(resized) == (3, 6)
    assert "4x2 pixels, as it is; 4 pixels from the left, 6 from the top" in plain.in_words(COLOUR)
    assert "opaque" in plain.in_words(COLOUR)


def test_colours_do_not_bleed_from_where_a_picture_is_transparent(tmp_path):
    path = tmp_path / "ring.png"
    drawn = Image.new("RGBA", (16, 16), (255, 0, 0, 0))  # red that nobody sees
    drawn.paste((0, 0, 255, 255), (4, 4, 12, 12))
    drawn.save(path)

    found = Picture(image=str(path)).apply(torch.zeros(1, *COLOUR, dtype=torch.uint8))

    assert int(found[0, 0].max()) == 0
    assert int(found[0, 2].max()) == 255


def test_the_file_in_use_is_known_by_its_sha256_and_another_is_refused(tmp_path):
    path = picture(tmp_path, (2, 2))
    trigger = Picture(image=path).sized(COLOUR)
    assert trigger.sha256 == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    trigger.apply(images(COLOUR))

    again = Picture(**trigger.as_dict())
    picture(tmp_path, (2, 2), (9, 9, 9, 255))
    with refused("another file than before", trigger.sha256[:16]):
        again.apply(images(COLOUR))


@pytest.mark.parametrize(
    ("settings", "texts"),
    [
        ({"position": "7,0"}, ("trigger_position=7,0", "3x2", "8x8")),
        ({"position": "0,7"}, ("trigger_position=0,7",)),
        ({"margin": 7}, ("trigger_margin=7", "outside")),
        ({"size": 9}, ("trigger_size=9", "9x6")),
    ],
)
def test_a_place_outside_the_image_is_refused(settings, texts):
    with refused(*texts):
        Picture(image=str(MARK), **settings).check(COLOUR)


def test_files_that_are_no_pictures_are_refused(tmp_path):
    for given, texts in (
        (None, ("trigger_image=FILE.png",)),
        (str(tmp_path / "none.png"), ("none.png", "no such file")),
        (str(tmp_path), ("no such file",)),
        (picture(tmp_path, (2, 2), (1, 2, 3, 0)), ("all of it is transparent",)),
    ):
        with refused(*texts):
            Picture(image=given).apply(images(COLOUR))
    content = MARK.read_bytes()
    for damaged in (b"", b"text", content[:40], content[:-30] + bytes(30)):
        path = tmp_path / "damaged.png"
        path.write_bytes(damaged)
        with refused("damaged.png", "cannot be read as an image"):
            Picture(image=str(path)).apply(images(COLOUR))


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    content = bytearray(MARK.read_bytes())
    content[16:24] = (60_000).to_bytes(4, "big") * 2  # width and height in the header
    path.write_bytes(content)

    with refused("bomb.png", "cannot be read"):
        Picture(image=str(path)).apply(images(COLOUR))


def test_it_is_a_group_of_settings_as_others_are():
    assert issubclass(Picture, Hyperparameters)
    assert np.array_equal(
        Picture(image=str(MARK)).apply(images(COLOUR)),
        Picture(image=str(MARK)).sized(COLOUR).apply(images(COLOUR)),
    )
