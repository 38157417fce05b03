"""Training from MNIST files on disk: real handwritten digits in MNIST's format, no download.

The images are scikit-learn's digits, enlarged to 28x28 and written as MNIST's idx files.
"""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from trainable.config import parse_config
from trainable.experiment.fit import fit

TRAIN, TEST = 1024, 256


def write_mnist_files(root: Path) -> None:
    """Writes the four files that torchvision looks for under `MNIST/raw`."""
    digits = load_digits()
    small = torch.from_numpy(digits.images[:, None] * (255 / 16)).float()
    large = torch.nn.functional.interpolate(small, size=(20, 20), mode="bilinear")
    images = torch.nn.functional.pad(large, (4, 4, 4, 4)).squeeze(1).round().byte().numpy()
    order = np.random.default_rng(0).permutation(len(images))
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, part in (("train", order[:TRAIN]), ("t10k", order[TRAIN : TRAIN + TEST])):
        header = struct.pack(">4i", 0x803, len(part), 28, 28)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(header + images[part].tobytes())
        labels = digits.target[part].astype(np.uint8)
        header = struct.pack(">2i", 0x801, len(part))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())


LONG = [pytest.mark.slow, pytest.mark.long]


@pytest.mark.parametrize(
    ("model", "lr", "epochs"),
    [
        ("tiny_models:pooled_cnn", 0.1, 12),
        pytest.param("resnet20", 0.1, 5, marks=LONG),
        pytest.param("cnv", 0.05, 3, marks=LONG),
    ],
)
def test_mnist_trains_from_its_files_without_a_download(
    model: str, lr: float, epochs: int, tmp_path: Path
) -> None:
    write_mnist_files(tmp_path)
    config = parse_config(
        {
            "seed": {"enabled": True},
            "dataset": {"name": "mnist", "root": str(tmp_path), "download": False},
            "model": {"name": model},
            "training": {"epochs": epochs, "batch_size": 32},
            "optimizer": {"name": "sgd", "learning_rate": lr},
            "scheduler": {"name": "cosine"},
        }
    )
    outcome = fit(config, allow_custom_model=True)
    assert len(outcome.rows) == epochs
    assert outcome.best_acc > 0.9
