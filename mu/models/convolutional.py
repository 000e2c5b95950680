"""ResNet-18 and -50, VGG-16 and MobileNetV3-Small of torchvision, with stems that suit the images.

References
----------
He, Zhang, Ren & Sun (2016), Deep Residual Learning for Image Recognition, CVPR.
Howard, Sandler, Chu, et al. (2019), Searching for MobileNetV3, ICCV.
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


def resnet18(spec: ModelSpec) -> nn.Module:
    """18 layers, of basic blocks; the stem as :func:`resnet50`'s."""
    return _with_stem(torchvision.models.resnet18(num_classes=spec.num_classes), spec)


def resnet50(spec: ModelSpec) -> nn.Module:
    """50 layers, of bottleneck blocks.

    Stem ``imagenet``: 7x7, stride 2 and pooling. Stem ``cifar``: 3x3, stride 1, no pooling.
    """
    return _with_stem(torchvision.models.resnet50(num_classes=spec.num_classes), spec)


def _with_stem(model: nn.Module, spec: ModelSpec) -> nn.Module:
    if spec.stem == "cifar":
        renew(model, "conv1", in_channels=spec.in_channels, kernel_size=3, stride=1, padding=1)
        model.set_submodule("maxpool", nn.Identity())
    elif spec.in_channels != 3:
        renew(model, "conv1", in_channels=spec.in_channels)
    draw_as_he(model.get_submodule("conv1"))
    return model


def mobilenet_v3_small(spec: ModelSpec) -> nn.Module:
    """The first convolution has stride 2 for the stem ``imagenet``, 1 for ``cifar``."""
    model: nn.Module = torchvision.models.mobilenet_v3_small(num_classes=spec.num_classes)
    stride = 1 if spec.stem == "cifar" else 2
    draw_as_he(renew(model, "features.0.0", in_channels=spec.in_channels, stride=stride))
    return model


def vgg16_bn(spec: ModelSpec) -> nn.Module:
    """Stem ``imagenet``: torchvision's five max-poolings and three linear layers.

    Stem ``cifar``: the mean over space in the place of the last pooling, and a single linear
    layer, as in the paper's repository. Images are halved four times, so they must have 16
    pixels a side, with stem ``imagenet`` 32.
    """
    model: nn.Module
    if spec.stem == "cifar":  # torchvision's 119 million weights of the head are not made
        parts = OrderedDict(
            features=make_layers(cfgs["D"][:-1], batch_norm=True),
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            classifier=nn.Linear(512, spec.num_classes),
        )
        for module in parts["features"]:
            if isinstance(module, nn.Conv2d):
                draw_as_he(module)
        nn.init.normal_(parts["classifier"].weight, std=0.01)
        nn.init.zeros_(parts["classifier"].bias)
        model = nn.Sequential(parts)
    else:
        model = torchvision.models.vgg16_bn(num_classes=spec.num_classes)
    if spec.in_channels != 3:
        draw_as_he(renew(model, "features.0", in_channels=spec.in_channels))
    return model
