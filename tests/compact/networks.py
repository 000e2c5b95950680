"""Networks with dead channels, for the tests of compaction."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mu.models import ModelSpec
from tests.helpers import prunable, random_mask

SQUARE = 6  # side of the images of small networks


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 5, channels: int = 3, side: int = SQUARE, seed: int = 1) -> Tensor:
    return torch.randn(count, channels, side, side, generator=draws(seed))


@torch.no_grad()
def settled(model: nn.Module, seed: int = 0) -> nn.Module:
    """``model`` with statistics and shifts as training leaves them, in evaluation mode."""
    numbers = draws(seed)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(std=0.3, generator=numbers)
            module.running_var.uniform_(0.5, 2.0, generator=numbers)
            module.bias.normal_(std=0.5, generator=numbers)
    return model.eval()


def built(arch: str, side: int, seed: int = 0) -> nn.Module:
    return settled(ModelSpec(arch, 4, 3, image_size=side).build(seed), seed)


@torch.no_grad()
def kill(layer: nn.Module, outputs: list[int] | None = None) -> None:
    """Prune all weights of these outputs, by default of all."""
    layer.weight[slice(None) if outputs is None else outputs] = 0


class Everything(nn.Module):
    """Whatever the rules know, in one network: each part reads what the one before it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.padded = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)  # for several
        self.branch1 = nn.Conv2d(8, 8, 3, padding=1)
        self.branch2 = nn.Conv2d(8, 8, 1)
        self.each = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.squeeze = nn.Conv2d(8, 4, 1)
        self.excite = nn.Conv2d(4, 8, 1)
        self.soft = nn.AvgPool2d(2, stride=1, padding=1)
        self.beside = nn.Conv2d(8, 5, 3, bias=False)
        self.groups = nn.Conv2d(8, 8, 1, groups=2)
        self.wide = nn.Linear(13 * 4, 9)
        self.flat = nn.BatchNorm1d(9)
        self.head = nn.Linear(9, 4)

    def forward(self, images: Tensor) -> Tensor:
        signal = self.relu(self.norm(self.padded(images)))
        signal = signal + self.branch2(functional.gelu(self.branch1(signal)))
        signal += self.branch1.weight.new_ones(1) * 0.5  # opaque
        signal = self.each(signal) + signal
        scale = functional.adaptive_avg_pool2d(signal, 1)
        scale = torch.sigmoid(self.excite(self.relu(self.squeeze(scale))))
        signal = scale * signal
        signal = self.groups(self.soft(signal)) + 2.0
        signal = torch.cat([signal[:, :, :5, :5], self.beside(signal)], 1)
        signal = functional.max_pool2d(functional.silu(signal), 2)
        signal = signal.view(signal.size(0), -1)
        return self.head(self.relu(self.flat(self.wide(signal))))


def everything(seed: int, kept: float) -> nn.Module:
    """With a random mask, and whole filters that are gone, other ones for each seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = settled(Everything(), seed)
    random_mask(model, prunable(model), kept=kept, seed=seed).apply(model)
    numbers = draws(seed)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module is not model.head:
            gone = torch.rand(len(module.weight), generator=numbers) < 0.6
            kill(module, gone.nonzero().flatten().tolist())
    return model


def conditional(num_classes: int, in_channels: int) -> nn.Module:
    """A user's network that cannot be traced: what it does depends on the images."""
    return Conditional(num_classes, in_channels)


class Conditional(nn.Module):
    def __init__(self, classes: int = 4, channels: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 8, 3, bias=False)
        self.head = nn.Linear(8, classes)

    def forward(self, signal: Tensor) -> Tensor:
        signal = self.first(signal if signal.sum() > 0 else -signal)
        return self.head(signal.mean((2, 3)))
