"""Layers that several architectures use."""

from __future__ import annotations

from torch import nn


def conv(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: int = 3,
    stride: int = 1,
    padding: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    """Builds a convolution without bias, because batch norm follows, and with He's normal weights.

    The variance is 2 / fan_in (He et al. 2015, "Delving Deep into Rectifiers", equation 10).
    torch's fan_out would be wrong for grouped convolutions: it does not divide by the groups.
    """
    layer = nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=padding,
        groups=groups,
        bias=False,
    )
    nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
    return layer


def norm_relu(channels: int) -> list[nn.Module]:
    """Builds batch norm and ReLU for a convolution with that many output channels."""
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


def global_pool_head(features: int, num_classes: int) -> nn.Sequential:
    """Builds the mean over the image and a linear layer: `[B, features, H, W]` to logits."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, num_classes))
