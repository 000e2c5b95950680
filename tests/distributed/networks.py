"""Networks for tests of many processes, by name: ranks import them from here."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Smooth(nn.Module):
    """In float64, without batch normalisation and without kinks: results differ by rounding."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 8, 3, stride=2)
        self.head = nn.Linear(8, num_classes)
        self.double()

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(images.double()))
        return self.head(torch.tanh(self.second(hidden)).mean((2, 3)))


class Idle(Smooth):
    """With a layer that is never used."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(num_classes, in_channels)
        self.unused = nn.Linear(3, 3).double()


class Normalised(nn.Sequential):
    """With batch normalisation."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, num_classes),
        )


SMOOTH, IDLE, NORMALISED = (f"{__name__}:{kind.__name__}" for kind in (Smooth, Idle, Normalised))
