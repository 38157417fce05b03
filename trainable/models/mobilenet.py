"""MobileNetV1 for small images: Howard et al. 2017, "MobileNets", table 1.

The stem keeps the resolution instead of halving it, so a 32x32 image ends as 2x2 and not as 1x1.
"""

from __future__ import annotations

from torch import Tensor, nn

from trainable.models.layers import conv, global_pool_head, norm_relu

BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
)
"""Output channels and stride of each depthwise separable block."""


class MobileNetV1(nn.Module):
    """A stem of 32 channels, then blocks of a depthwise 3x3 and a pointwise 1x1 convolution.

    Args:
        num_classes: Width of the logits.
        in_channels: Channels of the images.
    """

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv(in_channels, 32), *norm_relu(32)]
        channels = 32
        for out_channels, stride in BLOCKS:
            layers += [
                conv(channels, channels, stride=stride, groups=channels),
                *norm_relu(channels),
                conv(channels, out_channels, kernel_size=1, padding=0),
                *norm_relu(out_channels),
            ]
            channels = out_channels
        self.features = nn.Sequential(*layers)
        self.head = global_pool_head(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images `[B, in_channels, H, W]` to logits `[B, num_classes]`."""
        logits: Tensor = self.head(self.features(images))
        return logits
