"""The described preprocessing is that of an evaluation, for every data set."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from tests.support.image_folders import write_image_folder
from trainable.config import parse_config
from trainable.data.arrays import TORCHVISION_DATASETS, load_arrays
from trainable.data.loading import load_data
from trainable.inference.description import describe_model, find_preprocessing, plain_config

CPU = torch.device("cpu")
OTHERS = {
    "model": {"name": "resnet20", "num_classes": 10, "in_channels": 1},
    "training": {"epochs": 1},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}


def prepare(image, about):
    transform = v2.Compose(
        [
            v2.Resize(about.resize, v2.InterpolationMode(about.interpolation)),
            v2.CenterCrop(about.size),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(about.mean, about.std),
        ]
    )
    return transform(image)


@pytest.mark.parametrize("val_split", [None, 0.2])
def test_an_array_gets_the_statistics_of_the_trained_images(val_split):
    config = parse_config({"dataset": {"name": "digits", "val_split": val_split}, **OTHERS})
    pixels = load_arrays(config.dataset).test.pixels[0, :, :, 0]
    expected, _ = next(load_data(config.dataset, CPU).eval_batches("test", 1))
    about = find_preprocessing(config, {})
    assert (about.channels, about.size, about.resize) == (1, (8, 8), 8)
    torch.testing.assert_close(prepare(Image.fromarray(pixels), about), expected[0])


@pytest.mark.parametrize(
    "keys",
    [
        {"image_size": 16},
        {"image_size": 12, "crop_share": 0.6, "interpolation": "bicubic", "mean": [0.5] * 3},
    ],
)
def test_a_folder_gets_what_its_config_says(tmp_path, keys):
    root = write_image_folder(tmp_path, side=40)
    dataset = {"name": "image_folder", "root": str(root), **keys}
    config = parse_config({"dataset": dataset, **OTHERS})
    expected, _ = next(load_data(config.dataset, CPU).eval_batches("test", 1))
    image = Image.open(root / "test" / "cat" / "0.png")
    torch.testing.assert_close(prepare(image, find_preprocessing(config, {})), expected[0])


def test_a_downloaded_data_set_is_not_needed():
    config = parse_config({"dataset": {"name": "cifar10", "root": "/nowhere"}, **OTHERS})
    about = find_preprocessing(config, {})
    assert (about.mean, about.std) == TORCHVISION_DATASETS["cifar10"].statistics
    assert about.size == (32, 32)


def test_a_description_is_plain_and_names_the_model_again():
    config = parse_config({"dataset": {"name": "digits"}, **OTHERS})
    about = describe_model(config, {"epoch": 3, "best_acc": 0.5}, {"val_loss": 0.25})
    assert about["checkpoint"] == {"epoch": 3, "best_acc": 0.5, "val_loss": 0.25}
    assert np.asarray(about["classes"]).tolist() == [str(digit) for digit in range(10)]
    model = plain_config(about).model
    assert (model.name, model.num_classes, model.in_channels) == ("resnet20", 10, 1)
