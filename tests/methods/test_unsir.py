"""UNSIR: the noise and the updates by hand, in which no image of the forget set is read."""

import copy
import dataclasses

import pytest
import torch

from mu.data.images import Subset
from mu.methods import make_method
from mu.methods.steps.noise import RealImages, of_each_class
from mu.runs import Run, generator
from tests.helpers import refused
from tests.methods.exact import (
    DATA,
    SEED,
    ByHand,
    check_equal,
    original,
    split_of,
    unlearned,
    whole,
)
from tests.methods.guarded import LookedError, guarded
from tests.methods.test_rl import mean_loss

SMALL = {"noise_images": 4, "noise_copies": 3, "noise_steps": 3, "epochs": 4}
BLIND = ("forget",)
SETTINGS = {"noise_images": 5, "noise_copies": 3, "noise_steps": 4, "retained_per_class": 4}


def noise_by_hand(model, label, draws, images=5, steps=4, rate=0.1, decay=0.1):
    """Adam, written out, up the cross-entropy and down the squared lengths."""
    noise = torch.randn((images, *DATA.shape), generator=draws, dtype=torch.float64)
    first, second = torch.zeros_like(noise), torch.zeros_like(noise)
    for step in range(1, steps + 1):
        noise.requires_grad_()
        logits = model(noise)
        error = sum(-row.log_softmax(0)[label] for row in logits) / images
        length = sum((one * one).sum() for one in noise) / images
        (gradient,) = torch.autograd.grad(-error + decay * length, noise)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        size = (second / (1 - 0.999**step)).sqrt() + 1e-8
        noise = (noise - rate * first / (1 - 0.9**step) / size).detach()
    return noise


def by_hand(start, split, epochs):
    """The set of an epoch, image by image, and its two steps: impair, repair."""
    draws, model = generator(SEED, "noise"), copy.deepcopy(start.model).eval()
    chosen = of_each_class(split.retain_set, 4, generator(SEED, "retained images"))
    images, labels = map(list, whole(chosen))
    pixels, known = [], []
    for label in split.forgotten_classes:
        pixels += [*noise_by_hand(model, label, draws)]
        known += [torch.tensor(label)] * 5
    # Images are float32, of a scale of 0 to 255, before they are normalised.
    bytes_like = torch.stack([(one * 0.2 + 0.25) * 255 for one in pixels]).float()
    noise, _ = whole(
        Subset(RealImages(bytes_like, torch.stack(known)), torch.arange(len(known)).numpy(),
               DATA.mean, DATA.std)
    )  # fmt: skip
    slow = ByHand(start)
    for _ in range(epochs):
        mixed = torch.stack([*images, *noise, *noise, *noise])
        slow.step(mean_loss(slow.model(mixed), torch.stack([*labels, *known * 3])))
        slow.step(mean_loss(slow.model(torch.stack(images)), torch.stack(labels)))
    return slow.model


@pytest.mark.parametrize("epochs", [1, 3])
def test_its_updates_are_those_written_out(epochs):
    start, split = original(), split_of(whole_class=True)
    check_equal(unlearned("unsir", start, split, epochs, **SETTINGS), by_hand(start, split, epochs))


def test_each_of_several_classes_has_noise_of_its_own():
    start, one = original(), split_of(whole_class=True)
    labels = DATA.train.labels.numpy()
    more = one.retain[labels[one.retain] == 3]
    both = dataclasses.replace(
        one,
        forget=torch.tensor([*one.forget, *more]).sort().values.numpy(),
        retain=one.retain[labels[one.retain] != 3],
    )
    assert both.forgotten_classes == (1, 3)
    check_equal(unlearned("unsir", start, both, 1, **SETTINGS), by_hand(start, both, 1))


def test_no_image_of_the_forget_set_is_read_unless_the_rule_says_how_far():
    """Whoever reads a pixel of it is told so; which classes go, labels say."""
    start, split = original(), split_of(whole_class=True)
    blind = guarded(split, split.forget, test=True)
    for settings in ({"lr": 0.01}, {"preset": "paper"}):
        make_method("unsir", {**SETTINGS, **settings}).unlearn(
            copy.deepcopy(start), blind, Run(device="cpu")
        )
    with pytest.raises(LookedError):
        make_method("unsir", SETTINGS).unlearn(copy.deepcopy(start), blind, Run(device="cpu"))


def test_random_samples_are_refused():
    with refused("method=unsir forgets whole classes", "give forget=class:3"):
        make_method("unsir").check(split_of())
