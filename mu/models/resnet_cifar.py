"""The small ResNets for 32x32 images (and a mini one for 8x8), of torchvision's basic blocks.

6n + 2 layers: three stages of n blocks with 16, 32 and 64 channels. Where a stage changes the
width, its shortcut is a 1x1 convolution.

References
----------
He, Zhang, Ren & Sun (2016), Deep Residual Learning for Image Recognition, CVPR, section 4.2.
"""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from mu.models import ModelSpec

WIDTHS = (16, 32, 64)


class SmallResNet(nn.Module):
    """Three stages of ``blocks`` basic blocks each, then the mean over space and a linear head."""

    def __init__(self, spec: ModelSpec, blocks: int) -> None:
        super().__init__()
        stride = 1 if spec.stem == "cifar" else 2
        self.conv1 = nn.Conv2d(spec.in_channels, WIDTHS[0], 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], blocks, stride=1)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], blocks, stride=2)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], blocks, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(WIDTHS[2], spec.num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Logits of shape (n, classes) of images of shape (n, channels, height, width)."""
        hidden = self.relu(self.bn1(self.conv1(images)))
        hidden = self.layer3(self.layer2(self.layer1(hidden)))
        logits: Tensor = self.fc(self.avgpool(hidden).flatten(1))
        return logits


def _stage(width_in: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or width_in != width:
        convolution = nn.Conv2d(width_in, width, 1, stride, bias=False)
        shortcut = nn.Sequential(convolution, nn.BatchNorm2d(width))
    first = BasicBlock(width_in, width, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(width, width) for _ in range(blocks - 1)))


def resnet_mini(spec: ModelSpec) -> nn.Module:
    """8 layers: one block a stage."""
    return SmallResNet(spec, blocks=1)


def resnet14(spec: ModelSpec) -> nn.Module:
    """14 layers: two blocks a stage."""
    return SmallResNet(spec, blocks=2)


def resnet20(spec: ModelSpec) -> nn.Module:
    """20 layers: three blocks a stage."""
    return SmallResNet(spec, blocks=3)
