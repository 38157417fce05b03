"""Single images are changed by torch's global stream alone, whatever the number of threads."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from trainable.augment.in_loader import LoaderAugmentation
from trainable.config import AugmentConfig

SIZE = 16
PARTS = [
    {"vertical_flip": 0.5},
    {"rotation": 20},
    {"randaugment": {"magnitude": 12}},
    {"trivialaugment": True},
    {"autoaugment": "imagenet"},
    {"color_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}},
    {"grayscale": 0.5},
    {"blur": {"probability": 0.7}},
]


def photograph():
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(256, size=(40, 30, 3), dtype=np.uint8))


def change(augment, seed, *, flips=0.0):
    config = AugmentConfig.model_validate(augment)
    crop = v2.Compose([v2.Resize(SIZE), v2.CenterCrop(SIZE)])
    changes = LoaderAugmentation(config, crop, SIZE, flips=flips)
    torch.manual_seed(seed)
    return torch.from_numpy(changes(photograph()))


@pytest.mark.parametrize("augment", PARTS, ids=str)
def test_a_draw_follows_from_the_seed(augment):
    results = [change(augment, seed) for seed in range(16)]
    assert {(result.shape, result.dtype) for result in results} == {((SIZE, SIZE, 3), torch.uint8)}
    assert len({result.numpy().tobytes() for result in results}) > 1
    assert torch.equal(change(augment, 3), results[3])


def test_the_number_of_threads_does_not_matter():
    augment = {"color_jitter": {"contrast": 0.5}, "rotation": 10, "randaugment": {}}
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 4):
            torch.set_num_threads(threads)
            results.append(change(augment, 0))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


def test_the_flip_of_the_data_set_is_kept_unless_the_config_has_its_own():
    plain = change({}, 0)
    assert torch.equal(change({}, 0, flips=1.0), plain.flip(1))
    assert torch.equal(change({"horizontal_flip": 0.0}, 0, flips=1.0), plain)
    assert torch.equal(change({"horizontal_flip": 1.0}, 0), plain.flip(1))
