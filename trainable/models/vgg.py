"""VGG with batch norm for small images: Simonyan and Zisserman 2014, configurations A, B, D, E.

The head is one linear layer after global pooling. torchvision's `make_layers` cannot be used: its
pools round down, so that nothing is left of an 8x8 image, it supports three channels only, and its
convolutions have biases that batch norm cancels.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from trainable.models.layers import conv, global_pool_head, norm_relu

STAGE_CHANNELS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """Five stages of 3x3 convolutions, each followed by a max pool that halves, rounding up.

    Args:
        num_classes: Width of the logits.
        in_channels: Channels of the images.
        depths: Convolutions in each stage.
    """

    def __init__(
        self, num_classes: int, in_channels: int, *, depths: tuple[int, int, int, int, int]
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for stage_channels, depth in zip(STAGE_CHANNELS, depths, strict=True):
            for _ in range(depth):
                layers += [conv(channels, stage_channels), *norm_relu(stage_channels)]
                channels = stage_channels
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        self.features = nn.Sequential(*layers)
        self.head = global_pool_head(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images `[B, in_channels, H, W]` to logits `[B, num_classes]`."""
        logits: Tensor = self.head(self.features(images))
        return logits


vgg11 = partial(VGG, depths=(1, 1, 2, 2, 2))
vgg13 = partial(VGG, depths=(2, 2, 2, 2, 2))
vgg16 = partial(VGG, depths=(2, 2, 3, 3, 3))
vgg19 = partial(VGG, depths=(2, 2, 4, 4, 4))
