"""The network of the fastest known trainings on CIFAR-10: 1.97 million weights.

Whitened patches, then three groups of two 3x3 convolutions. A convolution starts as the identity
on its first filters, so that signals pass a fresh network as if there were shortcuts.

References
----------
Jordan (2024), 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, arXiv:2404.00498.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from mu.models import ModelSpec
from mu.models.whitening import Whitening

WIDTHS = (64, 256, 256)
PATCH = 2  # side of what is whitened
SCALE = 1 / 9  # of logits
MOMENTUM = 0.4  # of running statistics: what a batch adds
EPSILON = 1e-12


class FastNet(nn.Module):
    """See the module. Stem ``imagenet``: patches that do not overlap, and so a quarter of them.

    Images are halved after the first convolution of each group, until one pixel is left.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        stride = 1 if spec.stem == "cifar" else PATCH
        self.whitening = Whitening(spec.in_channels, PATCH, stride)
        self.activation = nn.GELU()
        side, width = (spec.image_size - PATCH) // stride + 1, self.whitening.out_channels
        groups = []
        for wide in WIDTHS:
            groups.append(nn.Sequential(*_group(width, wide, side > 1)))
            side, width = side // 2, wide
        self.group1, self.group2, self.group3 = groups
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.head = nn.Linear(width, spec.num_classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of shape (n, classes) of images of shape (n, channels, height, width)."""
        signal = self.activation(self.whitening(images))
        signal = self.pool(self.group3(self.group2(self.group1(signal)))).flatten(1)
        # Scaled before the head, which has no bias: so the head's output is the logits.
        logits: Tensor = self.head(SCALE * signal)
        return logits


def _group(width: int, wide: int, halves: bool) -> Iterator[nn.Module]:
    yield _convolution(width, wide)
    if halves:
        yield nn.MaxPool2d(2)
    yield _normalisation(wide)
    yield nn.GELU()
    yield _convolution(wide, wide)
    yield _normalisation(wide)
    yield nn.GELU()


def _convolution(width: int, wide: int) -> nn.Conv2d:
    """The identity on its first filters, one for each channel; the others are drawn."""
    made = nn.Conv2d(width, wide, 3, padding=1, bias=False)
    nn.init.dirac_(made.weight.data[:width])
    return made


def _normalisation(width: int) -> nn.BatchNorm2d:
    """Without weights, which are one; its bias is trained."""
    made = nn.BatchNorm2d(width, eps=EPSILON, momentum=MOMENTUM)
    made.register_parameter("weight", None)
    return made


def fastnet(spec: ModelSpec) -> nn.Module:
    """1.97 million weights; see :class:`FastNet`."""
    return FastNet(spec)
