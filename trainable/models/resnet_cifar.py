"""The CIFAR ResNets: He et al. 2015, "Deep Residual Learning for Image Recognition", section 4.2.

Three stages of 16, 32 and 64 channels at full, half and quarter resolution; `6 n + 2` layers.
Shortcuts are the paper's option A, without parameters.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from trainable.models.layers import conv, global_pool_head, norm_relu


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around an identity shortcut.

    If the resolution drops, the shortcut takes every `stride`-th pixel. If channels are added, it
    fills them with zeros.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = out_channels - in_channels
        self.residual = nn.Sequential(
            conv(in_channels, out_channels, stride=stride),
            *norm_relu(out_channels),
            conv(out_channels, out_channels),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[B, in_channels, H, W]` to `[B, out_channels, H / stride, W / stride]` (ceil)."""
        shortcut = x
        if self.stride > 1:
            shortcut = shortcut[:, :, :: self.stride, :: self.stride]
        if self.new_channels:
            shortcut = nn.functional.pad(shortcut, (0, 0, 0, 0, 0, self.new_channels))
        return nn.functional.relu(self.residual(x) + shortcut, inplace=True)


class CifarResNet(nn.Module):
    """A ResNet for small images, e.g. `[B, 3, 32, 32]`.

    Args:
        num_classes: Width of the logits.
        in_channels: Channels of the images.
        blocks: Residual blocks per stage, the paper's `n`.
    """

    def __init__(self, num_classes: int, in_channels: int, *, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(in_channels, 16), *norm_relu(16))
        layers = []
        channels = 16
        for stage_channels, stride in ((16, 1), (32, 2), (64, 2)):
            for block in range(blocks):
                layers.append(ResidualBlock(channels, stage_channels, stride if block == 0 else 1))
                channels = stage_channels
        self.blocks = nn.Sequential(*layers)
        self.head = global_pool_head(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images `[B, in_channels, H, W]` to logits `[B, num_classes]`."""
        logits: Tensor = self.head(self.blocks(self.stem(images)))
        return logits


resnet20 = partial(CifarResNet, blocks=3)
resnet32 = partial(CifarResNet, blocks=5)
resnet44 = partial(CifarResNet, blocks=7)
resnet56 = partial(CifarResNet, blocks=9)
resnet110 = partial(CifarResNet, blocks=18)
