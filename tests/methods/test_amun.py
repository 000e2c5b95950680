"""AMUN: the attack and the updates by hand; its images, and what is trained on."""

import dataclasses

import numpy as np
import pytest
import torch

from mu.data import load_data
from mu.data.batches import Batches
from mu.data.extended import Extended
from mu.data.forget_split import ForgetSplit
from mu.methods import make_method
from mu.methods.steps.adversarial import adversarial, nearest
from mu.methods.steps.passes import Stage
from mu.runs import Run
from tests.methods import exact
from tests.methods.exact import DATA, ByHand, check_equal, original, unlearned, whole
from tests.methods.test_rl import mean_loss

SMALL = {"epochs": 8, "radius": 0.1, "steps": 5}  # of the contract tests
RADIUS, STEPS = 0.02, 3


def split_of():
    """Five images that the original knows, and two that it calls something else as they are."""
    start = original()
    parts = start.spec.split(DATA)
    images, labels = whole(DATA.training_subset(parts.train))
    with torch.no_grad():
        right = (start.model(images).argmax(1) == labels).numpy()
    chosen = np.concatenate([parts.train[right][:5], parts.train[~right][:2]])
    return ForgetSplit.of(DATA, parts, np.sort(chosen))


def normalised(subset, image):
    """Of grey levels, as training has them: in float32."""
    mean, deviation = (
        torch.tensor(one).mul(255).view(1, -1, 1, 1) for one in (subset.mean, subset.std)
    )
    return (image - mean) * deviation.reciprocal()


def moved(model, subset, row, radius, steps):
    """One image, moved until its label is another: in units of pixels from 0 to 1."""
    number = int(subset.indices[row])
    true, start = int(subset.images.labels[number]), subset.images.pixels[number : number + 1]
    now, taken = start.float(), 0
    while True:
        image = normalised(subset, now).double().requires_grad_()
        logits = model(image)
        if (said := int(logits.argmax())) != true:
            return now, said
        (slope,) = torch.autograd.grad(-logits.log_softmax(1)[0, true], image)
        by_pixel = slope / torch.tensor(subset.std).double().view(1, -1, 1, 1)
        ball = radius * 2.0 ** (taken // steps)
        far = now.double() / 255 + ball / 10 * by_pixel / by_pixel.square().sum().sqrt()
        change = far - start / 255.0
        if (length := float(change.square().sum().sqrt())) > ball:
            change = change * ball / length
        now, taken = ((start / 255.0 + change).clamp(0, 1) * 255).float(), taken + 1


def by_hand(start, split, radius=RADIUS, steps=STEPS):
    each = [
        moved(start.model, split.forget_set, row, radius, steps) for row in range(len(split.forget))
    ]
    return torch.cat([image for image, _ in each]), torch.tensor([label for _, label in each])


@pytest.mark.parametrize("retained", [True, False])
@pytest.mark.parametrize("epochs", [1, 3])
def test_its_updates_are_those_written_out(retained, epochs):
    start, split = original(), split_of()
    slow = ByHand(start)
    pixels, labels = by_hand(start, split)
    parts = [split.forget_set, split.retain_set] if retained else [split.forget_set]
    images, known = zip(*map(whole, parts), strict=True)
    images = torch.cat([*images, normalised(split.forget_set, pixels)])
    known = torch.cat([*known, labels])
    for _ in range(epochs):
        slow.step(mean_loss(slow.model(images), known))
    settings = {"radius": RADIUS, "steps": STEPS, "retained": retained}
    check_equal(unlearned("amun", start, split, epochs, **settings), slow.model)


def attacked(start, split, radius=RADIUS, steps=STEPS, **run):
    stage = Stage(start, split, Run(device="cpu", **run), 100, teaches=True)
    return stage, *adversarial(stage, nearest(radius, steps))


def test_an_image_is_stored_with_what_makes_the_original_call_it_something_else():
    """By less than half a grey level: rounded to bytes it would be called the same."""
    start, split = original(), split_of()
    true, bytes_of = split.forget_set.labels, split.forget_set.images.pixels[split.forget]
    bias = start.model.head.bias
    with torch.no_grad():  # of two classes, of which it is nearly as sure
        bias[1:3] -= 50
        logits = start.model(whole(split.forget_set)[0])
        bias[0] -= 0.999 * (logits[:, 0] - logits[:, 3])[true == 0].min()
    stage, pixels, labels = attacked(start, split, radius=1e-4)
    data = stage.extended(pixels, labels, retained=True)
    count, length = len(split.forget), len(DATA.train)
    assert len(data) == 2 * count + len(split.retain)
    images, known = whole(dataclasses.replace(data, indices=data.indices[-count:]))
    with torch.no_grad():
        said = start.model(images).argmax(1)
        before, rounded = (
            start.model(normalised(data, one.float())).argmax(1)
            for one in (bytes_of, pixels.round())
        )
    assert torch.equal(said, known)
    assert not (said == true).any()
    near = (pixels - bytes_of).abs().amax((1, 2, 3)) < 0.5
    near &= before == true
    assert near.any()
    assert torch.equal(rounded[near], true[near])
    assert torch.equal(data.images.labels[:length], DATA.train.labels)  # the true ones stay


def test_its_attack_goes_on_in_larger_balls_and_does_so_once():
    start, split = original(), split_of()
    stage, pixels, labels = attacked(start, split)
    slow, said = by_hand(start, split)
    assert torch.equal(pixels, slow)
    assert torch.equal(labels, said)
    change = (pixels - split.forget_set.images.pixels[split.forget]) / 255
    assert (change.flatten(1).norm(dim=1) > RADIUS).any()
    seen = stage.run.samples_seen
    assert seen > STEPS * len(split.forget)
    assert stage.run.metrics["flipped"] == 100
    adversarial(stage, nearest(RADIUS, STEPS))
    assert stage.run.samples_seen == seen


def test_what_nothing_moves_is_left_out():
    """A network that calls everything the same has no gradient, one with a wrong label no need."""
    start, split = original(), split_of()
    with torch.no_grad():
        start.model.head.weight.zero_()
        start.model.head.bias[:] = torch.tensor([0.0, 1.0, 0.0, 0.0])
    stage, pixels, labels = attacked(start, split)
    true = split.forget_set.labels
    assert torch.equal(labels, torch.ones_like(true))
    assert torch.equal(pixels, split.forget_set.images.pixels[split.forget].float())
    wrong = int((true != 1).sum())
    assert len(stage.extended(pixels, labels, retained=False)) == len(true) + wrong
    assert stage.run.metrics["flipped"] == pytest.approx(100 * wrong / len(true))


def test_an_attack_that_finds_no_boundary_ends():
    """The logits of a class that is far ahead: its gradient is there, and too small to matter."""
    start = original()
    with torch.no_grad():
        start.model.head.bias[1] += 60
    ones = exact.split_of(whole_class=True)
    stage, _, labels = attacked(start, ones, radius=1.0, steps=2)
    assert torch.equal(labels, ones.forget_set.labels)
    # Balls of 1, 2, 4, 8: the last one holds all images of 6 x 6 pixels.
    assert stage.run.samples_seen <= 8 * len(ones.forget)
    assert stage.run.metrics["flipped"] == 0


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_added_images_come_as_they_are_and_the_others_as_without_them(augment):
    digits = load_data("digits")
    more = torch.rand(5, *digits.train.shape, generator=torch.Generator().manual_seed(1)) * 255
    labels = torch.arange(5)
    plain = digits.training_subset(torch.arange(20, 31).numpy())
    images = Extended(digits.train, more, torch.cat([digits.train.labels, labels]))
    places = [*range(20, 31), *range(len(digits.train), len(images))]
    both = dataclasses.replace(plain, images=images, indices=torch.tensor(places).numpy())
    before = more.clone()
    alone, extended = (
        Batches(one, 4, torch.device("cpu"), augment=augment) for one in (plain, both)
    )
    for batches in (extended.in_order(), extended.shuffled(torch.Generator().manual_seed(3))):
        found, known = map(torch.cat, zip(*batches, strict=True))
        for row, label in zip(more, labels, strict=True):
            same = (found == normalised(both, row[None])).flatten(1).all(1)
            assert known[same].tolist() == [int(label)]
    order = torch.cat([rows for rows, _ in extended._source.plain([torch.arange(16)])])
    assert torch.equal(order, torch.arange(16))
    ours = torch.cat([one for one, _ in extended.in_order()])[:11]
    assert torch.equal(ours, torch.cat([one for one, _ in alone.in_order()]))
    assert torch.equal(more, before)
    assert images.digest() != dataclasses.replace(images, more=more + 0.001).digest()
    assert torch.equal(images.fetch(torch.tensor([20]))[0], digits.train.pixels[20])
    assert torch.equal(images.fetch(torch.tensor([len(images) - 1]))[0], more[4].round().byte())


def test_without_the_retain_set_what_goes_too_far_is_taken_back():
    assert make_method("amun").repairs
    assert not make_method("AMUN", {"retained": False}).repairs
    method = make_method("AMUN", {"preset": "paper"})
    assert (method.radius, method.steps, method.lr) == (0.01, 50, None)
