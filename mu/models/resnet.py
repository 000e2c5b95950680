"""ResNet-18 and ResNet-50 of torchvision, with a stem that suits the size of the images.

References
----------
He, Zhang, Ren & Sun (2016), Deep Residual Learning for Image Recognition, CVPR.
"""

from __future__ import annotations

import torchvision
from torch import nn

from mu.models import ModelSpec


def resnet18(spec: ModelSpec) -> nn.Module:
    """18 layers, of basic blocks."""
    return _with_stem(torchvision.models.resnet18(num_classes=spec.num_classes), spec)


def resnet50(spec: ModelSpec) -> nn.Module:
    """50 layers, of bottleneck blocks."""
    return _with_stem(torchvision.models.resnet50(num_classes=spec.num_classes), spec)


def _with_stem(model: nn.Module, spec: ModelSpec) -> nn.Module:
    """Stem ``imagenet``: 7x7, stride 2 and pooling. Stem ``cifar``: 3x3, stride 1, no pooling."""
    if spec.stem == "cifar":
        model.conv1 = nn.Conv2d(spec.in_channels, 64, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    elif spec.in_channels != 3:
        model.conv1 = nn.Conv2d(spec.in_channels, 64, 7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(
        model.get_parameter("conv1.weight"), mode="fan_out", nonlinearity="relu"
    )
    return model
