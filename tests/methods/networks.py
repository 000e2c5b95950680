"""Small networks for tests of methods, also by name: ``tests.methods.networks:linear``."""

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

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


class Tied(nn.Module):
    """A block under one name or two, two layers with one weight, and, if wanted, the head's.

    Under two names or one, it has the same parameters, and does the same.
    """

    def __init__(self, classes: int, channels: int, *, twice: bool = True, top: bool = False):
        super().__init__()
        width = classes if top else 6
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.block = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        if twice:
            self.again = self.block
        self.left, self.right = nn.Linear(width, width), nn.Linear(width, width)
        self.right.weight = self.left.weight
        self.top = nn.Linear(width, classes)
        if top:
            self.top.weight = self.left.weight

    def forward(self, images: Tensor) -> Tensor:
        again = getattr(self, "again", self.block)
        signal = again(self.block(self.stem(images))).mean((2, 3))
        return self.top(torch.relu(self.left(signal)) + torch.relu(self.right(signal)))


def tied(num_classes: int, in_channels: int) -> nn.Module:
    """Under two names."""
    return Tied(num_classes, in_channels)


def tied_once(num_classes: int, in_channels: int) -> nn.Module:
    """Under one."""
    return Tied(num_classes, in_channels, twice=False)


def tied_top(num_classes: int, in_channels: int) -> nn.Module:
    """With the head's weight, too."""
    return Tied(num_classes, in_channels, top=True)


def overlapping(num_classes: int, in_channels: int) -> nn.Module:
    """Two parameters in the same memory."""
    model = Tied(num_classes, in_channels)
    model.right.weight = nn.Parameter(model.left.weight.detach().mT)
    return model


class InDouble(nn.Module):
    """In float64, without kinks; images come in float32."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 5, 3)
        self.head = nn.Linear(5, num_classes)
        self.double()

    def forward(self, images: Tensor) -> Tensor:
        signal = torch.tanh(self.norm(self.conv(images.double())))
        return self.head(torch.tanh(self.second(signal)).mean((2, 3)))


class Residual(nn.Module):
    """As a residual network goes, but with one block: a third of the layers of a resnet_mini."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 12, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(12)
        self.block = BasicBlock(12, 12)
        self.fc = nn.Linear(48, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        signal = self.block(torch.relu(self.norm(self.conv(images))))
        return self.fc(nn.functional.adaptive_avg_pool2d(signal, 2).flatten(1))


class Transformer(nn.Module):
    """Patches of 2 x 2, places, a block of attention and a block of two layers."""

    def __init__(self, num_classes: int, in_channels: int, image_size: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(in_channels, 12, 2, stride=2)
        self.places = nn.Parameter(torch.randn((image_size // 2) ** 2, 12) * 0.1)
        self.norm, self.qkv = nn.LayerNorm(12), nn.Linear(12, 36)
        self.block = nn.Sequential(
            nn.LayerNorm(12), nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12)
        )
        self.head = nn.Linear(12, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).mT + self.places
        query, key, value = self.qkv(self.norm(tokens)).chunk(3, -1)
        tokens = tokens + (query @ key.mT / 12**0.5).softmax(-1) @ value
        return self.head((tokens + self.block(tokens)).mean(1))


LINEAR = f"{__name__}:linear"
TIED, TIED_ONCE, TIED_TOP, OVERLAPPING = (
    f"{__name__}:{name}" for name in ("tied", "tied_once", "tied_top", "overlapping")
)
EXACT = f"{__name__}:InDouble"
RESIDUAL = f"{__name__}:Residual"
TRANSFORMER = f"{__name__}:Transformer"
HEADLESS = f"{__name__}:headless"
