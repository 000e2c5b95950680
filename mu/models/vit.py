"""The tiny vision transformer: torchvision's, in the size that DeiT gave it.

References
----------
Dosovitskiy, Beyer, Kolesnikov, et al. (2021), An Image is Worth 16x16 Words: Transformers for
Image Recognition at Scale, ICLR.
Touvron, Cord, Douze, Massa, Sablayrolles & Jégou (2021), Training Data-Efficient Image
Transformers & Distillation through Attention, ICML.
"""

from __future__ import annotations

from math import sqrt

from torch import nn
from torchvision.models import VisionTransformer

from mu.models import ModelSpec
from mu.models.layers import patch_side, renew

PATCHES = 8  # a side, for the stem ``cifar``
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
