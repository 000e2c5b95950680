"""Images of the forget set, moved until the original gives them another label."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mu.data.batches import Batches
from mu.methods.steps.passes import Stage

BATCH_SIZE = 256
SHARE = "flipped"


class Moved(NamedTuple):
    """Images that an attack has moved, in their order."""

    pixels: Tensor  # grey levels, float32 of shape (n, channels, height, width), 0-255
    labels: Tensor  # int64 of shape (n,): what the network says of them
    seen: Tensor  # int64 of shape (n,): how often each went through the network


Attack = Callable[[nn.Module, Batches, Tensor, Tensor], Moved]


def adversarial(stage: Stage, attack: Attack) -> tuple[Tensor, Tensor]:
    """Pixels and labels of the whole forget set under ``attack``, as in :class:`Moved`.

    They are of the original, so that an interrupted run finds the same ones again; only at first
    they are counted, and the share that has another label than the true one is logged. Ranks share
    the images.
    """
    if not stage.found:
        data, run = stage.split.forget_set, stage.run
        first, last = run.ranks.part(0, len(data))
        part = data.part(first, last) if last > first else data.part(0, 1)
        batches = Batches(part, BATCH_SIZE, run.device)
        each = [
            attack(stage.teacher, batches, batches.levels(images), labels)
            for images, labels in batches.in_order()
        ]
        mine = (torch.cat(one).cpu() for one in zip(*each, strict=True))
        found = Moved(*(run.ranks.gather(one, len(data)) for one in mine))
        stage.found = {"pixels": found.pixels, "labels": found.labels}
        if not stage.epoch:
            run.samples_seen += int(found.seen.sum())
            run.log(SHARE, 100 * float((found.labels != data.labels).double().mean()))
    return stage.found["pixels"], stage.found["labels"]


def signed(bound: float) -> Attack:
    """One step of ``bound`` (0-1) per pixel along the sign of the gradient of the cross-entropy.

    The image is then rounded to whole grey levels, halves to even ones. Goodfellow, Shlens &
    Szegedy (2015), Explaining and Harnessing Adversarial Examples, ICLR.
    """

    def attack(model: nn.Module, batches: Batches, levels: Tensor, labels: Tensor) -> Moved:
        _, gradient = _slope(model, batches, levels, labels)
        moved = (levels + 255 * bound * gradient.sign()).clamp(0, 255).round().float()
        with torch.no_grad():
            found = model(_images(model, batches, moved)).argmax(1)
        return Moved(moved, found, torch.full_like(labels, 2))

    return attack


def nearest(radius: float, steps: int) -> Attack:
    """Steps of a tenth of ``radius`` along the gradient, in a ball of that radius (L2, pixels 0-1).

    After every ``steps`` steps the radius doubles, and the image goes on from where it is; it stops
    as soon as it has another label than the true one. One that has it already stays where it is,
    and so does one whose gradient vanishes; where the ball holds every image, it is given up.
    Madry et al. (2018), Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR.
    """

    def attack(model: nn.Module, batches: Batches, levels: Tensor, labels: Tensor) -> Moved:
        whole = math.sqrt(levels[0].numel())
        rows = torch.arange(len(labels), device=labels.device)
        found = Moved(levels.clone(), labels.clone(), torch.zeros_like(labels))
        now = levels
        for step in range(steps * (1 + max(0, math.ceil(math.log2(whole / radius))))):
            given, gradient = _slope(model, batches, now, labels[rows])
            found.pixels[rows], found.labels[rows] = now, given
            found.seen[rows] += 1
            largest = gradient.abs().amax((1, 2, 3), keepdim=True)
            goes_on = given.eq(labels[rows]) & (largest > 0).flatten()
            if not goes_on.any():
                break
            rows, now = rows[goes_on], now[goes_on]
            direction = (gradient / largest)[goes_on]  # of float32 squares may vanish
            limit = 255 * radius * 2 ** (step // steps)
            moved = now + limit / 10 * direction / _length(direction)
            change = moved - levels[rows]
            change = change * (limit / _length(change)).clamp(max=1)
            now = (levels[rows] + change).clamp(0, 255).float()
        return found

    return attack


def _length(images: Tensor) -> Tensor:
    """The L2 norm of each image, of shape (n, 1, 1, 1)."""
    return images.square().sum((1, 2, 3), keepdim=True).sqrt()


def _images(model: nn.Module, batches: Batches, levels: Tensor) -> Tensor:
    """What the network is given: just what training gives it, in its precision."""
    return batches.normalised(levels).to(next(model.parameters()).dtype)


def _slope(
    model: nn.Module, batches: Batches, levels: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """The predicted classes (n,), and the gradient of each image's cross-entropy by grey level."""
    with torch.enable_grad():
        images = _images(model, batches, levels).requires_grad_()
        logits = model(images)
        loss = F.cross_entropy(logits, labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, images)
    return logits.detach().argmax(1), gradient * batches.scale
