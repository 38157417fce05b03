"""torchvision's ResNets for small images.

The ImageNet stem shrinks an image 4-fold before the first block. Here it is a 3x3 convolution at
full resolution, without a max pool.
"""

from __future__ import annotations

from functools import partial

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from trainable.models.layers import conv


def _build_small_image_resnet(
    block: type[nn.Module], layers: list[int], *, num_classes: int, in_channels: int
) -> nn.Module:
    model: nn.Module = ResNet(block, layers, num_classes=num_classes)
    model.conv1 = conv(in_channels, 64)
    model.maxpool = nn.Identity()
    return model


resnet18 = partial(_build_small_image_resnet, BasicBlock, [2, 2, 2, 2])
resnet34 = partial(_build_small_image_resnet, BasicBlock, [3, 4, 6, 3])
resnet50 = partial(_build_small_image_resnet, Bottleneck, [3, 4, 6, 3])
resnet101 = partial(_build_small_image_resnet, Bottleneck, [3, 4, 23, 3])
resnet152 = partial(_build_small_image_resnet, Bottleneck, [3, 8, 36, 3])
