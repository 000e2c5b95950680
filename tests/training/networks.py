"""Small networks for tests of training, also by name: ``tests.training.networks:plain``."""

import torch
from torch import Tensor, nn


class Small(nn.Module):
    """A convolution with normalisation, and two linear layers with dropout between them."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.pool = nn.AdaptiveAvgPool2d(3)
        self.hidden = nn.Linear(36, 12)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(12, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        signal = self.pool(torch.relu(self.norm(self.conv(images)))).flatten(1)
        return self.head(self.drop(torch.relu(self.hidden(signal))))


def plain(num_classes: int, in_channels: int) -> nn.Module:
    """Without dropout."""
    return Small(num_classes, in_channels)


def dropping(num_classes: int, in_channels: int) -> nn.Module:
    """With dropout."""
    return Small(num_classes, in_channels, dropout=0.3)


PLAIN = f"{__name__}:plain"
DROPPING = f"{__name__}:dropping"


def small(seed: int = 0, dropout: float = 0.0) -> Small:
    """A network with weights drawn by ``seed``."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Small(dropout=dropout)


class Exact(nn.Module):
    """A network in float64, whose images come in float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.double()

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images.double())
