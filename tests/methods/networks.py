"""Small networks for tests of methods, also by name: ``tests.methods.networks:linear``."""

import torch
from torch import Tensor, nn

SURE = 100.0  # the logit of what a Reader says, so that its probability is 1
STEP = 20  # in the pixel that a Reader reads, between one class and the next


class Reader(nn.Module):
    """It calls an image what the image's first pixel says; 255 stands for no number at all.

    With a ``slope`` of -1 it calls it anything else.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.slope = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        values = (images[:, 0, 0, 0] * 255).round()
        said = (values / STEP).long().clamp(max=self.classes - 1)
        logits = nn.functional.one_hot(said, self.classes).float() * SURE * self.slope
        return torch.where((values == 255)[:, None], torch.nan, logits)


def linear(num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """Softmax regression."""
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))


def headless(num_classes: int, in_channels: int) -> nn.Module:
    """Its logits come from a convolution."""
    return nn.Sequential(
        nn.Conv2d(in_channels, num_classes, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


LINEAR = f"{__name__}:linear"
HEADLESS = f"{__name__}:headless"
