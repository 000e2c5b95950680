"""One contract suite over every trigger: bytes, layouts, batches, and what stays as it was."""

import dataclasses
import random

import numpy as np
import pytest
import torch

from mu.data.triggers import TRIGGERS, base, make_trigger
from mu.data.triggers.base import Trigger
from mu.hyperparameters import LARGEST_SEED
from tests.data.triggers.images import COLOUR, MARK, SHAPES, images
from tests.helpers import refused

# As much as the smallest images show: a sine of six periods is zero in each of four columns.
SETTINGS = {"sinusoidal": {"frequency": 1.0}, "image": {"image": str(MARK)}}
SEEDED = [name for name, kind in TRIGGERS.items() if "seed" in kind.names()]


@pytest.fixture(params=sorted(TRIGGERS))
def name(request):
    return request.param


def trigger(name, **settings):
    return make_trigger(name, {**SETTINGS.get(name, {}), **settings})


# --- the registry -------------------------------------------------------------------------


def test_a_trigger_can_be_made_with_its_defaults_which_have_help_texts(name):
    made = make_trigger(name)

    assert isinstance(made, Trigger)
    for field in dataclasses.fields(made):
        assert field.metadata["help"], f"{name}.{field.name} has no help"


def test_misspelt_names_and_settings_are_refused(name):
    with refused("unknown trigger", f"'{name}x'", "did you mean", name):
        make_trigger(f"{name}x")
    with refused(f"setting of trigger {name}", "'nonesuch'"):
        make_trigger(name, {"nonesuch": 1})


# --- what comes out -----------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 5])
def test_new_contiguous_bytes_of_the_same_shape_and_nothing_else_is_touched(name, n):
    for shape in SHAPES:
        assert_new_and_nothing_else_is_touched(name, shape, n)


def assert_new_and_nothing_else_is_touched(name, shape, n):
    pixels = images(shape, n)
    before = pixels.clone()
    made = trigger(name)
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()

    found = made.apply(pixels)

    assert found.dtype == torch.uint8
    assert found.shape == pixels.shape
    assert found.is_contiguous()
    assert torch.equal(pixels, before)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == states[1:]
    found.fill_(7)
    assert torch.equal(pixels, before)
    assert torch.equal(made.apply(pixels), trigger(name).apply(before))


@pytest.mark.parametrize("shape", SHAPES)
def test_it_changes_every_image(name, shape):
    pixels = images(shape) // 2  # darker than white, so that a square shows

    changed = (trigger(name).apply(pixels) != pixels).flatten(1).any(dim=1)

    assert changed.all()


@pytest.mark.parametrize("shape", SHAPES)
def test_an_image_is_changed_as_if_it_were_alone(name, shape):
    pixels = images(shape)
    made = trigger(name)

    together = made.apply(pixels)

    for number in range(len(pixels)):
        assert torch.equal(made.apply(pixels[number : number + 1])[0], together[number])
    assert torch.equal(made.apply(pixels.flip(0)), together.flip(0))


LAYOUTS = {
    "channels_last": lambda pixels: pixels.contiguous(memory_format=torch.channels_last),
    "sliced": lambda pixels: pixels.repeat_interleave(2, 0).repeat_interleave(2, 3)[::2, ..., ::2],
    "columns_first": lambda pixels: pixels.transpose(2, 3).contiguous().transpose(2, 3),
    "offset": lambda pixels: torch.cat([pixels[:1], pixels])[1:, :, :, :],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_memory_layout_does_not_matter(name, layout):
    pixels = images((3, 9, 5))
    other = LAYOUTS[layout](pixels)
    assert torch.equal(other, pixels)

    found = trigger(name).apply(other)

    assert torch.equal(found, trigger(name).apply(pixels))
    assert found.is_contiguous()
    assert torch.equal(other, pixels)


def test_one_image_under_many_numbers_is_changed_once_each(name):
    pixels = images(COLOUR, 1)

    found = trigger(name).apply(pixels.expand(4, -1, -1, -1))

    assert torch.equal(found, trigger(name).apply(pixels).repeat(4, 1, 1, 1))
    found[0].fill_(7)
    assert not torch.equal(found[0], found[1])


@pytest.mark.parametrize("together", [1, 2, 4, 5, 99])
def test_how_many_are_worked_on_together_does_not_matter(name, together, monkeypatch):
    pixels = images(COLOUR)
    expected = trigger(name).apply(pixels)

    monkeypatch.setattr(base, "NUMBERS", together * pixels[0].numel())

    assert torch.equal(trigger(name).apply(pixels), expected)


def test_memory_is_bounded_by_some_images_at_a_time(monkeypatch):
    pixels = images(COLOUR, 7)
    seen = []

    def change(some):
        seen.append(len(some))
        return some

    monkeypatch.setattr(base, "NUMBERS", 3 * pixels[0].numel() + 1)
    assert torch.equal(base.change_exactly(pixels, change), pixels)
    assert seen == [3, 3, 1]
    monkeypatch.setattr(base, "NUMBERS", 1)
    assert torch.equal(base.change_exactly(pixels, change), pixels)
    assert seen[3:] == [1] * 7


# --- seeds --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEEDED)
def test_the_same_seed_gives_the_same_change_and_another_seed_another(name):
    pixels = images(COLOUR)
    found = {seed: trigger(name, seed=seed).apply(pixels) for seed in (0, 1, LARGEST_SEED)}

    for seed, expected in found.items():
        assert torch.equal(trigger(name, seed=seed).apply(pixels), expected)
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[LARGEST_SEED])


@pytest.mark.parametrize("seed", [-1, LARGEST_SEED + 1])
@pytest.mark.parametrize("seeded", SEEDED)
def test_seeds_out_of_range_are_refused(seeded, seed):
    with refused(f"seed={seed}", "at least 0"):
        make_trigger(seeded, {"seed": seed})
