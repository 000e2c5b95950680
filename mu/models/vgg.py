"""VGG-16 with batch normalisation, of torchvision, with a head that suits the images.

References
----------
Simonyan & Zisserman (2015), Very Deep Convolutional Networks for Large-Scale Image Recognition,
ICLR.
"""

from __future__ import annotations

from collections import OrderedDict

import torchvision
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from mu.models import ModelSpec
from mu.models.layers import draw_as_he, renew


def vgg16_bn(spec: ModelSpec) -> nn.Module:
    """Stem ``imagenet``: torchvision's five max-poolings and three linear layers.

    Stem ``cifar``: the mean over space in the place of the last pooling, and a single linear
    layer, as in the paper's repository. Images are halved four times, so they must have 16
    pixels a side, with stem ``imagenet`` 32.
    """
    model = _small(spec.num_classes) if spec.stem == "cifar" else _large(spec.num_classes)
    if spec.in_channels != 3:
        draw_as_he(renew(model, "features.0", in_channels=spec.in_channels))
    return model


def _large(num_classes: int) -> nn.Module:
    model: nn.Module = torchvision.models.vgg16_bn(num_classes=num_classes)
    return model


def _small(num_classes: int) -> nn.Module:
    """The mean over space, then the head; torchvision's 119 million weights there are not made."""
    parts = OrderedDict(
        features=make_layers(cfgs["D"][:-1], batch_norm=True),
        avgpool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        classifier=nn.Linear(512, num_classes),
    )
    for module in parts["features"]:
        if isinstance(module, nn.Conv2d):
            draw_as_he(module)
    nn.init.normal_(parts["classifier"].weight, std=0.01)
    nn.init.zeros_(parts["classifier"].bias)
    return nn.Sequential(parts)
