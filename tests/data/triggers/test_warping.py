"""The warp by hand: the field from its control points, then each pixel between its neighbours."""

import math

import numpy as np
import pytest
import torch

from mu.data.triggers.warping import Warping
from tests.data.triggers.images import everywhere, images
from tests.helpers import refused

SHAPES = [(1, 8, 8), (3, 9, 5), (2, 4, 12)]
SETTINGS = [{}, {"grid": 2, "strength": 3.0}, {"grid": 3, "strength": 1.0, "seed": 7}]


def cubic(distance):
    """The weight of a control point in bicubic interpolation (convolution with a = -3/4)."""
    a, d = -0.75, abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def along(place, length, points):
    """Control points and their weights for one of ``length`` pixels; the outermost go on."""
    at = place * (points - 1) / (length - 1)
    near = math.floor(at)
    return [(min(max(k, 0), points - 1), cubic(at - k)) for k in range(near - 1, near + 3)]


def places_by_hand(trigger, height, width):
    """(y, x) from -1 to 1 where each pixel is read."""
    rng = np.random.default_rng(trigger.seed)
    points = rng.uniform(-1, 1, (2, trigger.grid, trigger.grid))
    points /= sum(abs(value) for value in points.ravel()) / points.size
    found = {}
    for y, x in np.ndindex(height, width):
        shift = [
            sum(
                v * u * points[axis, j, i]
                for j, v in along(y, height, trigger.grid)
                for i, u in along(x, width, trigger.grid)
            )
            for axis in (0, 1)
        ]
        found[y, x] = (
            min(1, max(-1, 2 * y / (height - 1) - 1 + trigger.strength * shift[1] / height)),
            min(1, max(-1, 2 * x / (width - 1) - 1 + trigger.strength * shift[0] / width)),
        )
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", SETTINGS)
def test_places_are_those_of_the_formula(shape, settings):
    trigger = Warping(**settings)

    found = trigger.places(*shape[1:])

    assert found.dtype == torch.float64
    for (y, x), expected in places_by_hand(trigger, *shape[1:]).items():
        assert found[y, x].tolist() == pytest.approx(expected[::-1], abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", SETTINGS)
def test_every_byte_lies_between_its_neighbours(shape, settings):
    trigger = Warping(**settings)
    places = places_by_hand(trigger, *shape[1:])
    pixels = images(shape)
    _, height, width = shape

    found = trigger.apply(pixels)

    for n, channel, y, x in everywhere(pixels):
        down, right = (
            (places[y, x][0] + 1) / 2 * (height - 1),
            (places[y, x][1] + 1) / 2 * (width - 1),
        )
        top, left = min(int(down), height - 2), min(int(right), width - 2)
        v, u = down - top, right - left
        (a, b), (c, d) = pixels[n, channel, top : top + 2, left : left + 2].tolist()
        exact = (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * c + u * d)
        assert abs(found[n, channel, y, x] - exact) <= 0.5 + 1e-9


def test_the_strength_is_twice_the_mean_shift_in_pixels():
    size = 257  # the control points of a grid of five lie on pixels
    trigger = Warping(grid=5, strength=0.5, seed=1)
    still = torch.linspace(-1, 1, size, dtype=torch.float64)

    found = trigger.places(size, size)
    shift = found - torch.stack(torch.meshgrid(still, still, indexing="xy"), dim=2)

    inner = shift[64:-64:64, 64:-64:64] * (size - 1) / 2  # not clipped, unlike the edges
    drawn = np.random.default_rng(1).uniform(-1, 1, (2, 5, 5))
    expected = drawn / np.abs(drawn).mean() * 0.25 * (size - 1) / size
    np.testing.assert_allclose(inner.permute(2, 0, 1), expected[:, 1:-1, 1:-1], atol=1e-12)


def test_a_faint_warp_leaves_every_byte():
    pixels = images((3, 9, 5))

    assert torch.equal(Warping(strength=1e-6).apply(pixels), pixels)


def test_the_field_of_a_seed_is_kept_for_ever():
    """Published results were made with it: should numpy draw another, keep the old one."""
    places = Warping().places(4, 4)

    assert places[1, 1].tolist() == pytest.approx([-0.14430361419211168, -0.5054003643553291])
    assert places[2, 1].tolist() == pytest.approx([-0.13408316543225543, 0.2800611294960941])


def test_a_field_finer_than_the_pixels_is_refused():
    with refused("trigger_grid=9: finer than the 8x12 images", "give at most 8"):
        Warping(grid=9).check((3, 8, 12))
    with refused("grid=1000000000"):
        Warping(grid=10**9).apply(images((3, 8, 8)))
    Warping(grid=8).check((3, 8, 12))


@pytest.mark.parametrize(("key", "value"), [("grid", 1), ("strength", 0.0), ("strength", -1.0)])
def test_numbers_out_of_range_are_refused(key, value):
    with refused(f"{key}={value}", "must be"):
        Warping(**{key: value})
