"""AMUN: the attack and the updates by hand; its images, and what is trained on."""

import dataclasses

import pytest
import torch

from mu.data import load_data
from mu.data.batches import Batches
from mu.data.extended import Extended
from mu.methods import make_method
from mu.methods.steps.adversarial import adversarial, nearest
from mu.methods.steps.passes import Stage
from mu.runs import Run
from tests.methods.exact import DATA, ByHand, check_equal, original, split_of, unlearned, whole
from tests.methods.test_rl import mean_loss

RADIUS, STEPS = 0.02, 3


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
