"""Named architectures, built over torchvision where it has them; and open names for all others.

``torchvision:NAME`` is any classifier of torchvision, ``package.module:function`` the user's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu import registry
from mu.custom import check_name
from mu.errors import UserError
from mu.hyperparameters import LARGEST_SIDE, Hyperparameters, setting

if TYPE_CHECKING:
    from torch import Tensor, nn

ARCHITECTURES = {
    "resnet_mini": "mu.models.resnet_cifar:resnet_mini",
    "resnet14": "mu.models.resnet_cifar:resnet14",
    "resnet20": "mu.models.resnet_cifar:resnet20",
    "fastnet": "mu.models.fastnet:fastnet",
    "resnet18": "mu.models.convolutional:resnet18",
    "resnet50": "mu.models.convolutional:resnet50",
    "vgg16_bn": "mu.models.convolutional:vgg16_bn",
    "mobilenet_v3_small": "mu.models.convolutional:mobilenet_v3_small",
    "vit_tiny": "mu.models.transformers:vit_tiny",
    "swin_t": "mu.models.transformers:swin_t",
}
TORCHVISION = "torchvision:"
# The beginnings of names whose networks take square images only.
SQUARE = ("vit_tiny", "swin_t", f"{TORCHVISION}vit_", f"{TORCHVISION}maxvit_")
FITTED = ("fastnet",)  # whose initial weights are fitted, in part, to training images
STEMS = ("auto", "cifar", "imagenet")
LARGEST_CIFAR_STEM = 64


def check_arch(name: str) -> str:
    """The registered spelling of ``name``, or an open name, of which only the form is checked.

    UserError if there is no such name; the message gives the nearest one and the open forms.
    """
    return check_name("arch", name, ARCHITECTURES, f"{TORCHVISION}NAME")


def is_own(arch: str) -> bool:
    """Whether ``arch`` names a function of the user's."""
    return ":" in arch and not arch.startswith(TORCHVISION)


@dataclass(frozen=True)
class ModelSpec(Hyperparameters):
    """What is needed to build the same network again."""

    arch: str = setting(help="architecture")
    num_classes: int = setting(help="outputs of the classifier", low=1, high=1_000_000)
    in_channels: int = setting(help="channels of an image", low=1, high=1024)
    stem: str = setting("cifar", help="first layers", choices=STEMS[1:])
    image_size: int = setting(32, help="height and width of an image", low=1, high=LARGEST_SIDE)

    @classmethod
    def for_images(
        cls, arch: str, stem: str, num_classes: int, shape: tuple[int, int, int]
    ) -> ModelSpec:
        """The spec for images of ``shape``; stem ``auto`` goes by their size.

        UserError if the name is unknown, or the images are not square and must be.
        """
        channels, height, width = shape
        if height != width and arch.startswith(SQUARE):
            raise UserError(
                f"arch {arch} takes square images only, not {height}x{width}; "
                "make them square or use another arch"
            )
        if stem == "auto":
            stem = "cifar" if height <= LARGEST_CIFAR_STEM else "imagenet"
        return cls(check_arch(arch), num_classes, channels, stem, height)

    def example(self) -> Tensor:
        """Two images of noise, as the network takes them; always the same."""
        import torch

        shape = (2, self.in_channels, self.image_size, self.image_size)
        return torch.randn(shape, generator=torch.Generator().manual_seed(0))

    def build(self, seed: int) -> nn.Module:
        """A network with fresh weights drawn by ``seed``; the global generator is left alone.

        UserError if the name leads to no network, or to one that exists in other sizes only.
        """
        import torch

        builder = registry.load(_path(check_arch(self.arch)))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would touch CUDA's too
            model: nn.Module = builder(self)
        return model


def _path(arch: str) -> str:
    """The import path of what builds ``arch``."""
    if ":" not in arch:
        return ARCHITECTURES[arch]
    return f"mu.models.open_names:{'own' if is_own(arch) else 'named'}"
