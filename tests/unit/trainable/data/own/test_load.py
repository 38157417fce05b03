"""Own data sets as an `ImageSource`: which kind of source, and the same batches every time."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.own_data import LABELS, PIXELS
from trainable.config import OwnDataset
from trainable.data.own.load import load_own
from trainable.data.own.source import OwnSource
from trainable.data.resident import ResidentSource
from trainable.data.source import ImageSource
from trainable.errors import DataError

CPU = torch.device("cpu")


def load(name: str, *, workers: int = 0, **keys: Any) -> ImageSource:
    dataset = OwnDataset.model_validate({"name": f"tests.support.own_data:{name}", **keys})
    return load_own(dataset, CPU, num_workers=workers)


def epoch(source: ImageSource, seed: int = 5) -> list[torch.Tensor]:
    batches = [*source.train_batches(16, seed=seed), *source.eval_batches("test", 16)]
    return [tensor for batch in batches for tensor in batch]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def states() -> tuple[Any, ...]:
    torch_state = torch.default_generator.get_state().tolist()
    return random.getstate(), np.random.get_state()[1].tobytes(), torch_state  # type: ignore[index]


@pytest.mark.parametrize("name", ["arrays", "always_same"])
def test_small_images_that_are_always_the_same_are_held_in_memory(name: str) -> None:
    source = load(name, augment=False)
    assert isinstance(source, ResidentSource)
    assert source.shape == (3, 8, 8)
    assert source.class_names == ("0", "1", "2")
    mean, std = PIXELS.mean((0, 1, 2)) / 255, PIXELS.std((0, 1, 2)) / 255
    assert source.mean == pytest.approx(tuple(mean))
    images, labels = next(iter(source.eval_batches("test", 30)))
    expected = (PIXELS[:30] / 255 - mean) / std
    assert np.allclose(images.permute(0, 2, 3, 1), expected, atol=1e-5)
    assert labels.tolist() == LABELS[:30].tolist()
    assert source.train_labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("drawing", {}),
        ("drawing_texts", {"val_split": 0.2}),
        ("sometimes_random", {}),
        ("pictures", {"image_size": 8}),
        ("floats", {"augment": False}),
        ("epochs", {}),
    ],
)
def test_others_are_fetched_anew_and_alike_for_the_same_seed(
    name: str, keys: dict[str, Any]
) -> None:
    before = states()
    source = load(name, **keys)
    assert isinstance(source, OwnSource)
    first = epoch(source)
    assert same(first, epoch(load(name, **keys)))
    assert states() == before
    if name in ("drawing", "drawing_texts", "floats"):
        assert not same(first, epoch(source, seed=6))
    repeated = [t for b in source.train_batches(6, seed=5, order=[1, 1, 2]) for t in b]
    if name == "drawing":
        assert not torch.equal(repeated[0][0], repeated[0][1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["drawing", "floats", "pictures"])
def test_the_number_of_loader_processes_does_not_matter(name: str) -> None:
    keys = {"image_size": 8} if name == "pictures" else {}
    assert same(epoch(load(name, **keys)), epoch(load(name, workers=2, **keys)))


def test_pictures_are_resized_and_grey_ones_get_three_channels() -> None:
    source = load("pictures", image_size=10, crop_share=1.0, augment=False)
    assert source.shape == (3, 10, 10)
    assert source.class_names == ("c0", "c9", "c18")
    images, _ = next(iter(source.eval_batches("test", 2)))
    values = images[1] * torch.tensor(source.std)[:, None, None]
    values += torch.tensor(source.mean)[:, None, None]
    assert torch.allclose(values[0], values[1], atol=1e-5)


def test_floats_are_finished() -> None:
    source = load("floats", mean=[0.5] * 3, std=[0.2] * 3)
    assert (source.mean, source.std) == ((0.0,) * 3, (1.0,) * 3)
    images, labels = next(iter(source.eval_batches("test", 30)))
    assert (
        (images >= labels[:, None, None, None]) & (images <= labels[:, None, None, None] + 1)
    ).all()
    assert "floats, which are used as they are" in source.notices[0]


def test_the_epoch_is_stated_before_a_training_pass() -> None:
    source = load("epochs", augment=False)
    assert isinstance(source, OwnSource)

    def values(batches: Iterator[Any]) -> set[int]:
        mean, std = source.mean[0], source.std[0]
        return {round(v) for x, _ in batches for v in ((x * std + mean) * 255).unique().tolist()}

    source.set_epoch(4)
    training = source.train_batches(8, seed=0)
    source.set_epoch(9)
    assert values(training) == {4}
    assert values(source.eval_batches("test", 8)) == {0}
    assert values(source.train_batches(8, seed=0)) == {9}


def test_a_test_set_and_a_validation_set_are_held_out_by_position() -> None:
    source = load("only_train", test_split=0.2, val_split=0.25, augment=False)
    sizes = [source.size(split) for split in ("train", "val", "test")]
    assert sizes == [36, 12, 12]
    assert source.class_names == ("north42", "b", "c")
    first = load("only_train", test_split=0.2, folds=4, augment=False)
    other = load("only_train", test_split=0.2, folds=4, fold=1, augment=False)
    assert first.size("val") == other.size("val") == 12
    assert first.fingerprint("test") == other.fingerprint("test") == source.fingerprint("test")
    assert first.fingerprint("val") != other.fingerprint("val")


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        ("only_train", {}, "has returned no test; return {"),
        ("arrays", {"test_split": 0.1}, "dataset.test_split must be null, since"),
        ("pictures", {}, "has images of different sizes: set dataset.image_size"),
    ],
)
def test_splits_and_sizes_that_do_not_fit_are_refused(
    name: str, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        load(name, **keys)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("three values", "item 0 of train must be a pair of image and label, found 3 values"),
        ("one-hot", "item 0 of train must have a class number or name as its label"),
        ("integers", "item 0 of train must have an image of uint8"),
        ("channels last", "item 0 of train must have the channels first"),
        ("nan", "item 0 of train must have finite values"),
        ("sizes", "has images of different sizes: set dataset.image_size"),
        ("late size", "item 8 of train is 5x8 pixels, others are 4x8: set dataset.image_size"),
        ("from one", "labels from 0 on without a gap"),
        ("one class", "at least 2 classes, found 0 alone"),
        ("test label", "item 2 of test must have a label from 0 to 2 (0, 1, 2), found 3"),
        ("fails", "item 0 of train cannot be read: IndexError"),
        ("mixed kinds", "item 0 of train is an image of floats"),
    ],
)
def test_items_that_cannot_be_used_are_refused_by_number(kind: str, message: str) -> None:
    if kind == "mixed kinds":
        message = "item 15 of train is an image of 8 bits, the first one is an image of floats"
    with pytest.raises(DataError) as caught:
        load("wrong", args={"kind": kind})
    assert message in str(caught.value)


def test_fingerprints_follow_the_images_and_the_labels() -> None:
    prints = {
        load(name, **keys).fingerprint("test")
        for name, keys in [
            ("arrays", {}),
            ("drawing", {}),
            ("drawing_texts", {}),
            ("floats", {}),
            ("pictures", {"image_size": 8}),
            ("pictures", {"image_size": 16}),
        ]
    }
    assert len(prints) == 6
    assert load("drawing").fingerprint("test") in prints
