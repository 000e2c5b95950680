"""The tiny vision and Swin transformers of torchvision, with patches that suit the images.

References
----------
Dosovitskiy, Beyer, Kolesnikov, et al. (2021), An Image is Worth 16x16 Words: Transformers for
Image Recognition at Scale, ICLR.
Touvron, Cord, Douze, Massa, Sablayrolles & Jégou (2021), Training Data-Efficient Image
Transformers & Distillation through Attention, ICML; the size of the tiny one.
Liu, Lin, Cao, Hu, Wei, Zhang, Lin & Guo (2021), Swin Transformer: Hierarchical Vision
Transformer using Shifted Windows, ICCV.
"""

from __future__ import annotations

from math import sqrt

from torch import nn
from torchvision.models import SwinTransformer, VisionTransformer

from mu.models import ModelSpec
from mu.models.layers import patch_side, renew

# Patches a side, for the stem ``cifar``; those of Swin, three times halved, are 2.
PATCHES, SWIN_PATCHES = 8, 16
SMALLEST_PATCH = 2  # one pixel a token makes a small image as slow as a large one


def vit_tiny(spec: ModelSpec) -> nn.Module:
    """Patches of 16 pixels for the stem ``imagenet``; about 8x8 of them for ``cifar``."""
    wanted = 16 if spec.stem == "imagenet" else max(SMALLEST_PATCH, spec.image_size / PATCHES)
    side = patch_side(spec, wanted)
    model: nn.Module = VisionTransformer(
        image_size=spec.image_size,
        patch_size=side,
        num_layers=12,
        num_heads=3,
        hidden_dim=192,
        mlp_dim=768,
        num_classes=spec.num_classes,
    )
    if spec.in_channels != 3:
        patches = renew(model, "conv_proj", in_channels=spec.in_channels)
        nn.init.trunc_normal_(patches.weight, std=sqrt(1 / (spec.in_channels * side**2)))
        nn.init.zeros_(model.get_parameter("conv_proj.bias"))
    # torchvision's head starts as zeros, so at first no gradient reaches the layers before it,
    # and pruners that look at initial gradients would see nothing. DeiT draws it, as here.
    nn.init.trunc_normal_(model.get_parameter("heads.head.weight"), std=0.02)
    return model


def swin_t(spec: ModelSpec) -> nn.Module:
    """Stem ``imagenet``: patches of 4 pixels, windows of 7x7 patches. ``cifar``: 16x16, 4x4."""
    large = spec.stem == "imagenet"
    side = patch_side(spec, 4 if large else spec.image_size / SWIN_PATCHES)
    window = 7 if large else 4
    model: nn.Module = SwinTransformer(
        patch_size=[side, side],
        embed_dim=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=[window, window],
        stochastic_depth_prob=0.2,
        num_classes=spec.num_classes,
    )
    if spec.in_channels != 3:
        renew(model, "features.0.0", in_channels=spec.in_channels)
    return model
