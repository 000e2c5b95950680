"""Whether a network from elsewhere knows its training images, and if not, what may be wrong.

A trained network gives nearly all of its training images their label. One that does not was mostly
trained with another normalisation, or with its classes in another order. It knows them as it saw
them: one that never saw them mirrored or shifted knows fewer of those, about as many as of unseen
images; one that did knows as many as of plain ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from mu.data.augmentation import AUGMENTATIONS
from mu.data.imagefolder import IMAGENET
from mu.data.images import ImageDataset, Images, Statistics, Subset
from mu.evaluation.outputs import Outputs, predict
from mu.foreign.entries import LEVELS
from mu.runs import Run

# Percent of its training images: what nearly all trained networks give their label, and below
# what the usual normalisations are tried.
TRAINED, SURE = 90.0, 99.5
NEAR_CHANCE = 0.1  # of the way from chance to 100 %
COLOURS = 3
SAMPLE = 1000  # training images that normalisations are tried on
MOST_CLASSES = 20  # in a message
# By how much another one must be better: points, and standard deviations; and the share of what
# the present one gets wrong, as networks that know nothing differ by chance.
CLEARLY, RECOVERED = 2.0, 1 / 3
PRESENT = "as imported"
REVERSED = ", blue first"  # what is said of a network that wants its channels so, as OpenCV reads
SHIFT = 3  # pixels; crops shift by up to 4


def usual(dataset: ImageDataset) -> dict[str, Statistics]:
    """The normalisations that training programs use, by name."""
    channels = dataset.shape[0]
    plain = {
        "mean 0.5 and std 0.5": (0.5, 0.5),
        "none (pixels 0-1)": (0.0, 1.0),
        "none (pixels 0-255)": (0.0, 1 / LEVELS),
    }
    found = {"the data set's": (dataset.mean, dataset.std)}
    if channels == 3:
        found["ImageNet's"] = IMAGENET
    alike = {name: ((mean,) * channels, (std,) * channels) for name, (mean, std) in plain.items()}
    return {**found, **alike}


@dataclass(frozen=True, eq=False)
class Trial:
    """How a network does on a sample of its training images."""

    accuracies: Mapping[str, float]  # percent, by normalisation; :data:`PRESENT` is what it has now
    size: int  # of the sample
    better: str | None  # the normalisation that is clearly better than the present one, if one is
    order: Sequence[str]  # where the classes are in another order, that of each output; else empty
    ordered: float  # the accuracy in that order, percent

    def warning(
        self, train_acc: float, labels: Tensor, others: Mapping[str, Statistics], command: str
    ) -> str | None:
        """What looks wrong, in words; None if nothing does.

        ``train_acc``: percent of all training images. ``labels``: theirs, int64 of shape (n,).
        ``others``: the normalisations that were tried, by name. ``command``: what imports the file
        again, without mean and std.
        """
        chance = 100 * float(labels.bincount().max()) / len(labels)
        ranked = sorted(self.accuracies.items(), key=lambda one: -one[1])
        words = ", ".join(f"{name} {accuracy:.1f} %" for name, accuracy in ranked)
        figures = f"normalisations on {self.size:,} training images: {words}"
        found = f"train_acc {train_acc:.2f} %"
        if train_acc <= chance + NEAR_CHANCE * (100 - chance):
            found += f" is near chance ({chance:.2f} %)"
        elif train_acc < TRAINED:
            found += " is low for a trained network"
        if self.better:
            return f"{found}: {self._remedy(others, figures, command)}"
        if self.order:
            listed = ", ".join(self.order[:MOST_CLASSES])
            more = ", ..." if len(self.order) > MOST_CLASSES else ""
            return (
                f"{found}: its classes are in another order ({self.ordered:.1f} % in the order "
                f"{listed}{more}); put the rows of its last layer into the order of the data set"
            )
        if train_acc >= TRAINED:
            return None
        return (
            f"{found}, and no usual normalisation fits better ({figures}): dataset, order of "
            "classes, mean and std, stem or arch is probably not the file's"
        )

    def _remedy(self, others: Mapping[str, Statistics], figures: str, command: str) -> str:
        """What fits better, and how to import the file so."""
        name = str(self.better).removesuffix(REVERSED)
        given = "".join(
            f" --{option}={','.join(f'{one:.6g}' for one in numbers)}"
            for option, numbers in zip(("mean", "std"), others.get(name, ()), strict=False)
        )
        if name == self.better:
            return (
                f"another normalisation fits better, {name} ({figures}); repeat with: {command}"
                f"{given}"
            )
        return (
            f"it wants its channels in the order blue, green, red, {name} ({figures}); turn round "
            "the channels of its first layer (state[NAME] = state[NAME].flip(1)), save that, and "
            f"repeat with: {command}{given}"
        )


def try_usual(
    model: nn.Module,
    images: Subset,
    classes: Sequence[str],
    others: Mapping[str, Statistics],
    run: Run,
) -> Trial:
    """Try other normalisations on a sample of the training images, which have the present one.

    Where none of them makes the network sure, images in colour are tried with the channels in the
    reverse order, too, each colour with its own mean and standard deviation.
    """
    drawn = images.drawn(SAMPLE, torch.Generator().manual_seed(0))
    tried = {PRESENT: drawn} | {
        name: replace(drawn, mean=mean, std=std)
        for name, (mean, std) in others.items()
        if (mean, std) != (images.mean, images.std)
    }
    outputs = {name: predict(model, one, run) for name, one in tried.items()}
    plain = {name: one.accuracy() for name, one in outputs.items()}
    best = max(plain, key=plain.__getitem__)
    if images.images.shape[0] == COLOURS and plain[best] < SURE:
        turned = _Turned(model)
        more = {f"{name}{REVERSED}": predict(turned, one, run) for name, one in tried.items()}
        outputs |= more
        first = max(more, key=lambda name: more[name].accuracy())
        if _clearly(more[first].accuracy(), plain[best], len(drawn)):
            best = first
    accuracies = {name: one.accuracy() for name, one in outputs.items()}
    clear = _clearly(accuracies[best], accuracies[PRESENT], len(drawn))
    ordered, order = max(map(_order, outputs.values()), key=lambda one: one[0])
    if accuracies[best] >= TRAINED or ordered < TRAINED:
        ordered, order = 0.0, []
    better = best if clear and not order else None
    return Trial(accuracies, len(drawn), better, [classes[one] for one in order], ordered)


def _clearly(accuracy: float, than: float, size: int) -> bool:
    """Whether an accuracy on so many samples is clearly better than another one."""
    share = accuracy / 100
    noise = 100 * sqrt(2 * share * (1 - share) / size)  # of a difference
    return accuracy - than > max(CLEARLY, CLEARLY * noise, RECOVERED * (100 - than))


class _Turned(nn.Module):
    """A network that is given its images with their channels in the reverse order."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Of shape (n, 3, height, width)."""
        found: Tensor = self.model(images.flip(1))
        return found


def _order(outputs: Outputs) -> tuple[float, list[int]]:
    """Accuracy (percent) with the classes in another order, and the class of each output.

    0 and none, where outputs and classes do not pair.
    """
    count = outputs.classes
    pairs = torch.bincount(outputs.labels * count + outputs.predictions, minlength=count**2)
    table = pairs.reshape(count, count)
    output = table.argmax(1)  # of each class
    if len({*output.tolist()}) < count:
        return 0.0, []
    right = table[torch.arange(count), output].sum()
    return 100 * float(right) / len(outputs), output.argsort().tolist()


# --- augmentation -------------------------------------------------------------------------


def mirrored(pixels: Tensor) -> Tensor:
    """Images (n, channels, height, width), left and right exchanged."""
    return pixels.flip(3)


def shifted(pixels: Tensor) -> Tensor:
    """Images (n, channels, height, width), moved down and to the right, black where they were."""
    height, width = pixels.shape[2:]
    return pad(pixels, (SHIFT, 0, SHIFT, 0))[:, :, :height, :width]


def doubt_augmentation(model: nn.Module, images: Subset, assumed: str, run: Run) -> str | None:
    """What speaks against the augmentation that is assumed, in words; None if nothing does.

    ``images``: the training images, of which a sample is taken.
    """
    drawn = images.drawn(SAMPLE, torch.Generator().manual_seed(0))
    plain = predict(model, drawn, run).accuracy()
    found = {
        one: predict(model, _changed(drawn, one), run).accuracy() for one in (mirrored, shifted)
    }
    share = plain / 100
    clear = 2 * CLEARLY * max(1.0, 100 * sqrt(share * (1 - share) / len(drawn)))
    lost = [one for one, accuracy in found.items() if plain - accuracy > clear]
    likely = "none" if shifted in lost else "crop" if mirrored in lost else "crop_flip"
    has, needs = (
        (bool(one.padding), bool(one.mirrors))
        for one in (AUGMENTATIONS[assumed], AUGMENTATIONS[likely])
    )
    if has <= needs:
        return None
    return (
        f"augment={assumed} is assumed, but the network knows {plain:.1f} % of its training images "
        f"and {found[mirrored]:.1f} % of them mirrored, {found[shifted]:.1f} % shifted: it was "
        f"probably trained otherwise; give augment={likely}, or Retrain differs in that, too"
    )


def _changed(images: Subset, change: Callable[[Tensor], Tensor]) -> Subset:
    pixels = images.images.fetch(torch.from_numpy(images.indices))
    return replace(
        images, images=Images(change(pixels), images.labels), indices=np.arange(len(images))
    )
