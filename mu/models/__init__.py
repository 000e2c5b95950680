"""Named architectures; built over torchvision where it has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu import registry
from mu.hyperparameters import Hyperparameters, setting

if TYPE_CHECKING:
    from torch import nn

ARCHITECTURES = {
    "resnet_mini": "mu.models.resnet_cifar:resnet_mini",
    "resnet14": "mu.models.resnet_cifar:resnet14",
    "resnet20": "mu.models.resnet_cifar:resnet20",
    "resnet18": "mu.models.resnet18:resnet18",
}
STEMS = ("auto", "cifar", "imagenet")
LARGEST_CIFAR_STEM = 64


def check_arch(name: str) -> str:
    """The registered spelling of ``name``, or a :class:`UserError` with the nearest ones."""
    return registry.canonical("arch", name, ARCHITECTURES)


@dataclass(frozen=True)
class ModelSpec(Hyperparameters):
    """What is needed to build the same network again."""

    arch: str = setting(help="architecture")
    num_classes: int = setting(help="outputs of the classifier", low=1)
    in_channels: int = setting(help="channels of an image", low=1)
    stem: str = setting("cifar", help="first layers", choices=STEMS[1:])

    @classmethod
    def for_images(
        cls, arch: str, stem: str, num_classes: int, shape: tuple[int, int, int]
    ) -> ModelSpec:
        """The spec for images of ``shape``; stem ``auto`` goes by their size."""
        channels, height, _ = shape
        if stem == "auto":
            stem = "cifar" if height <= LARGEST_CIFAR_STEM else "imagenet"
        return cls(check_arch(arch), num_classes, channels, stem)

    def build(self, seed: int) -> nn.Module:
        """A network with fresh weights drawn by ``seed``; the global generator is left alone."""
        import torch

        builder = registry.load(ARCHITECTURES[check_arch(self.arch)])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: nn.Module = builder(self)
        return model
