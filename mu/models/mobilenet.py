"""MobileNetV3-Small of torchvision.

References
----------
Howard, Sandler, Chu, et al. (2019), Searching for MobileNetV3, ICCV.
"""

from __future__ import annotations

import torchvision
from torch import nn

from mu.models import ModelSpec
from mu.models.layers import draw_as_he, renew


def mobilenet_v3_small(spec: ModelSpec) -> nn.Module:
    """The first convolution has stride 2 for the stem ``imagenet``, 1 for ``cifar``."""
    model: nn.Module = torchvision.models.mobilenet_v3_small(num_classes=spec.num_classes)
    stride = 1 if spec.stem == "cifar" else 2
    draw_as_he(renew(model, "features.0.0", in_channels=spec.in_channels, stride=stride))
    return model
