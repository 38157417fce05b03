"""Every part of `augment` at once."""

from typing import Any

GREY: dict[str, Any] = {
    "crop": {"min_scale": 0.6},
    "horizontal_flip": 0.3,
    "vertical_flip": 0.1,
    "rotation": 10,
    "randaugment": {"operations": 2, "magnitude": 6.5},
    "color_jitter": {"brightness": 0.2, "contrast": 0.2, "probability": 0.8},
    "blur": {"probability": 0.3},
    "erasing": {"probability": 0.3},
    "mixup": {"alpha": 0.3, "off_epoch": 4},
    "cutmix": {"probability": 0.5, "off_epoch": 3},
}
"""All parts that images with one channel can have."""

COLOURED: dict[str, Any] = {
    **GREY,
    "color_jitter": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.1},
    "grayscale": 0.2,
}
"""All parts but `trivialaugment` and `autoaugment`, which `randaugment` excludes."""
