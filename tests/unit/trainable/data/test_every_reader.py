"""Real images through every reader are the same tensors and are learnt alike.

The images are scikit-learn's digits, written in every format as people have them: with 16 and 12
bits, floats, turned by EXIF data, with a palette, with transparent pixels, as a photograph.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.support.array_files import write_arrays
from tests.support.label_tables import table_of_folder
from trainable.config import BuiltinDataset, TrainConfig, parse_config
from trainable.data.arrays import load_arrays
from trainable.data.loading import load_data
from trainable.training.trainer import Trainer

PER_CLASS = {"train": 8, "test": 4}
EPOCHS = 4
MEAN, STD = 0.5, 0.25
CPU = torch.device("cpu")
JPEG_LEVELS = 6
"""Levels of 255 that a pixel of a JPEG of quality 100 may be off."""


def save_turned(pixels: Any, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image = Image.fromarray(np.rot90(pixels)).convert("RGB" if path.suffix == ".webp" else "L")
    image.save(path, exif=exif, **({"lossless": True} if path.suffix == ".webp" else {}))


def save_palette(pixels: Any, path: Path) -> None:
    """The index of a colour is its grey value in reverse."""
    image = Image.fromarray(255 - pixels)
    image.putpalette([value for value in range(255, -1, -1) for _ in range(3)])
    image.save(path)


def save_transparent(pixels: Any, path: Path) -> None:
    """White is transparent, with arbitrary colours below."""
    noise = np.random.default_rng(0).integers(256, size=(*pixels.shape, 3), dtype=np.uint8)
    is_white = pixels == 255
    colours = np.where(is_white[..., None], noise, pixels[..., None])
    alpha = np.where(is_white, 0, 255).astype(np.uint8)
    Image.fromarray(np.dstack([colours, alpha]).astype(np.uint8)).save(path)


Save = Callable[[Any, Path], None]

FORMATS: dict[str, tuple[str, Save, dict[str, Any]]] = {
    "png": (".png", lambda p, path: Image.fromarray(p).save(path), {}),
    "rgb": (".png", lambda p, path: Image.fromarray(p).convert("RGB").save(path), {}),
    "bmp": (".bmp", lambda p, path: Image.fromarray(p).save(path), {}),
    "tiff": (".tif", lambda p, path: Image.fromarray(p).save(path), {}),
    "png16": (".png", lambda p, path: Image.fromarray(p.astype("u2") * 257).save(path), {}),
    "tiff16": (".tif", lambda p, path: Image.fromarray(p.astype("u2") * 257).save(path), {}),
    "12 bits": (
        ".png",
        lambda p, path: Image.fromarray(p.astype("u2") * 16).save(path),
        {"max_value": 4080},
    ),
    "12 bits auto": (
        ".tif",
        lambda p, path: Image.fromarray(p.astype("u2") * 16).save(path),
        {"max_value": "auto"},
    ),
    "float": (
        ".tif",
        lambda p, path: Image.fromarray((p / 255).astype("f4")).save(path),
        {"max_value": 1},
    ),
    "exif png": (".png", save_turned, {}),
    "exif webp": (".webp", save_turned, {}),
    "exif tiff": (".tif", save_turned, {}),
    "palette": (".png", save_palette, {}),
    "gif": (".gif", save_palette, {}),
    "alpha": (".png", save_transparent, {}),
}
"""Format -> extension, writer, keys of `dataset`; none of them loses anything."""


@pytest.fixture(scope="module")
def digits() -> dict[str, Any]:
    """Some digits of every class: `x_train` `[80, 8, 8]` uint8, `y_train`, and those to test."""
    arrays: dict[str, Any] = {}
    data = load_arrays(BuiltinDataset(name="digits"))
    for split, count in PER_CLASS.items():
        images = getattr(data, split)
        chosen = np.concatenate([np.flatnonzero(images.labels == c)[:count] for c in range(10)])
        arrays[f"x_{split}"] = images.pixels[chosen, :, :, 0]
        arrays[f"y_{split}"] = images.labels[chosen]
    return arrays


@pytest.fixture(scope="module")
def few_digits(digits: dict[str, Any]) -> dict[str, Any]:
    """Two digits of every class to train and one to test."""
    return {name: array[::4] for name, array in digits.items()}


def write_folder(root: Path, digits: dict[str, Any], extension: str, save: Save) -> Path:
    for split in PER_CLASS:
        pairs = zip(digits[f"x_{split}"], digits[f"y_{split}"], strict=True)
        for number, (pixels, label) in enumerate(pairs):
            path = root / split / f"class {label}" / f"{number:03}{extension}"
            path.parent.mkdir(parents=True, exist_ok=True)
            save(pixels, path)
    return root


def config_of(dataset: dict[str, Any]) -> TrainConfig:
    keys = {"mean": [MEAN] * 3, "std": [STD] * 3, "augment": False}
    if dataset["name"] in {"image_folder", "table"}:
        keys |= {"image_size": 8, "crop_share": 1.0}
    return parse_config(
        {
            "dataset": {**keys, **dataset},
            "model": {"name": "tiny_models:mlp"},
            "training": {"epochs": EPOCHS, "batch_size": 16},
            "optimizer": {"name": "adam", "learning_rate": 0.02},
            "seed": {"enabled": True, "threads": 1},
        }
    )


def readers(digits: dict[str, Any], directory: Path) -> dict[str, dict[str, Any]]:
    """Writes the digits for every reader of PNG files and of arrays; returns the sections."""
    root = write_folder(directory / "images", digits, *FORMATS["png"][:2])
    table_of_folder(root, root / "labels.csv")
    table_of_folder(root, root / "labels.parquet")
    colours = {
        name: np.repeat(array[..., None], 3, axis=3) if name[0] == "x" else array
        for name, array in digits.items()
    }
    names = np.array([f"class {label}" for label in range(10)])
    npz = write_arrays(directory / "digits.npz", **colours)
    first = {n: a.transpose(0, 3, 1, 2) if n[0] == "x" else a for n, a in colours.items()}
    pt = write_arrays(directory / "digits.pt", **first)
    own = directory / "own.npz"
    np.savez(own, **colours, classes=names)
    folder = {"name": "image_folder", "root": str(root)}
    table = {"name": "table", "root": str(root)}
    return {
        "folder": {**folder, "cache": False},
        "folder, cached": folder,
        "table": {**table, "file": "labels.csv", "cache": False},
        "table, cached": {**table, "file": "labels.csv"},
        "parquet, cached": {**table, "file": "labels.parquet"},
        "npz": {"name": "arrays", "file": str(npz)},
        "pt": {"name": "arrays", "file": str(pt)},
        "own arrays": {"name": "own_digits:pairs", "args": {"file": str(own)}},
        "own pictures": {"name": "own_digits:pictures", "args": {"file": str(own)}},
    }


def read(dataset: dict[str, Any]) -> dict[str, tuple[Tensor, Tensor]]:
    """Returns the images and labels of both splits, as training and evaluation get them."""
    source = load_data(config_of(dataset).dataset, CPU, allow_custom=True)
    order = range(source.size("train"))
    batches = {
        "train": source.train_batches(50, seed=0, order=order),
        "test": source.eval_batches("test", 50),
    }
    return {
        split: tuple(map(torch.cat, zip(*of_split, strict=True)))  # type: ignore[misc]
        for split, of_split in batches.items()
    }


def assert_are_the_digits(
    splits: dict[str, tuple[Tensor, Tensor]], digits: dict[str, Any], levels: float = 1e-3
) -> None:
    for split, (images, labels) in splits.items():
        assert labels.tolist() == digits[f"y_{split}"].tolist()
        expected = torch.from_numpy(digits[f"x_{split}"])[:, None].expand(-1, 3, -1, -1)
        pixels = (images * STD + MEAN) * 255
        assert (pixels - expected).abs().max() <= levels


def learn(dataset: dict[str, Any]) -> list[tuple[float, float]]:
    """Trains a tiny model; returns loss and accuracy on the test set after every epoch."""
    trainer = Trainer(config_of(dataset), device=CPU, allow_custom_model=True)
    rows = [trainer.run_epoch() for _ in range(EPOCHS)]
    return [(row["test_loss"], row["test_acc"]) for row in rows]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_as_the_same_tensors(
    name: str, few_digits: dict[str, Any], tmp_path: Path
) -> None:
    extension, save, keys = FORMATS[name]
    root = write_folder(tmp_path, few_digits, extension, save)
    dataset = {"name": "image_folder", "root": str(root), **keys}
    cached, decoded = read(dataset), read({**dataset, "cache": False})
    assert_are_the_digits(cached, few_digits)
    for split in PER_CLASS:
        assert torch.equal(cached[split][0], decoded[split][0])


def test_a_photograph_is_read_with_a_small_difference(
    digits: dict[str, Any], tmp_path: Path
) -> None:
    root = write_folder(
        tmp_path, digits, ".jpg", lambda p, path: Image.fromarray(p).save(path, quality=100)
    )
    dataset = {"name": "image_folder", "root": str(root)}
    cached, decoded = read(dataset), read({**dataset, "cache": False})
    assert_are_the_digits(cached, digits, JPEG_LEVELS)
    assert torch.equal(cached["test"][0], decoded["test"][0])


def test_every_reader_returns_the_same_tensors(digits: dict[str, Any], tmp_path: Path) -> None:
    results = {name: read(section) for name, section in readers(digits, tmp_path).items()}
    first = results["folder"]
    assert_are_the_digits(first, digits)
    for name, splits in results.items():
        for split in PER_CLASS:
            for values, expected in zip(splits[split], first[split], strict=True):
                assert torch.equal(values, expected), f"{name}: {split}"


def test_files_and_arrays_are_learnt_alike(digits: dict[str, Any], tmp_path: Path) -> None:
    sections = readers(digits, tmp_path)
    expected = learn(sections["folder, cached"])
    assert expected[-1][1] > 0.7
    for name in ("table, cached", "npz"):
        assert learn(sections[name]) == expected, name


@pytest.mark.slow
def test_every_reader_and_format_is_learnt_alike(digits: dict[str, Any], tmp_path: Path) -> None:
    sections = readers(digits, tmp_path)
    for name, (extension, save, keys) in FORMATS.items():
        root = write_folder(tmp_path / name, digits, extension, save)
        sections[name] = {"name": "image_folder", "root": str(root), **keys}
    expected = learn(sections["folder"])
    for name, section in sections.items():
        assert learn(section) == expected, name
