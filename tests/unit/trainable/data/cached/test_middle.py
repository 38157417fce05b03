"""The crop of evaluation against torchvision's transforms."""

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from trainable.data.cached.middle import crop_middle


@pytest.mark.parametrize("shape", [(24, 32), (33, 20), (16, 16), (18, 18), (7, 50)])
@pytest.mark.parametrize("crop_share", [1.0, 0.875, 0.6])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_the_middle_is_cropped_exactly_as_torchvision_does_it(shape, crop_share, interpolation):
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8))
    transform = v2.Compose(
        [
            v2.Resize(round(16 / crop_share), InterpolationMode(interpolation)),
            v2.CenterCrop(16),
        ]
    )
    result = crop_middle(image, 16, crop_share, interpolation)
    assert (result == np.asarray(transform(image))).all()
