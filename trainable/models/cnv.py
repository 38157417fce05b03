"""CNV, the VGG-like topology of FINN, in floating point: Umuroglu et al. 2017, "FINN"."""

from __future__ import annotations

from torch import Tensor, nn

from trainable.models.layers import conv, norm_relu

IMAGE_SIZE = 32
"""Pixels of the side that the unpadded convolutions reduce to exactly 1."""


class CNV(nn.Module):
    """Six unpadded 3x3 convolutions (64 64 pool 128 128 pool 256 256), then three linear layers.

    A side shorter than 32 pixels is padded with zeros on both ends. A longer one leaves more than
    one position, and the linear layers get their mean.

    Args:
        num_classes: Width of the logits.
        in_channels: Channels of the images.
    """

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for stage_channels in (64, 128, 256):
            if layers:
                layers.append(nn.MaxPool2d(2))
            for _ in range(2):
                layers += [conv(channels, stage_channels, padding=0), *norm_relu(stage_channels)]
                channels = stage_channels
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(
            *_build_hidden(channels, 512), *_build_hidden(512, 512), nn.Linear(512, num_classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Maps images `[B, in_channels, H, W]` to logits `[B, num_classes]`."""
        height, width = images.shape[-2:]
        rows, columns = max(IMAGE_SIZE - height, 0), max(IMAGE_SIZE - width, 0)
        if rows or columns:
            left, top = columns // 2, rows // 2
            images = nn.functional.pad(images, (left, columns - left, top, rows - top))
        logits: Tensor = self.head(self.features(images))
        return logits


def _build_hidden(in_features: int, out_features: int) -> list[nn.Module]:
    linear = nn.Linear(in_features, out_features, bias=False)
    nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
    # Not affine: the next linear layer absorbs a scale, and the parameters stay 1.5 million.
    return [linear, nn.BatchNorm1d(out_features, affine=False), nn.ReLU(inplace=True)]
