"""The tiny Swin transformer of torchvision, with patches and windows that suit the images.

References
----------
Liu, Lin, Cao, Hu, Wei, Zhang, Lin & Guo (2021), Swin Transformer: Hierarchical Vision
Transformer using Shifted Windows, ICCV.
"""

from __future__ import annotations

from torch import nn
from torchvision.models import SwinTransformer

from mu.models import ModelSpec
from mu.models.layers import patch_side, renew

PATCHES = 16  # a side, for the stem ``cifar``; three times halved, they are 2


def swin_t(spec: ModelSpec) -> nn.Module:
    """Stem ``imagenet``: patches of 4 pixels, windows of 7x7 patches. ``cifar``: 16x16, 4x4."""
    large = spec.stem == "imagenet"
    side = patch_side(spec, 4 if large else spec.image_size / PATCHES)
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
