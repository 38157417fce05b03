"""`CachedSource` against the source that decodes every file in every epoch, and torchvision."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from tests.support.augmentations import COLOURED
from trainable.config import AugmentConfig, ImageFolderDataset
from trainable.data.cached.boxes import CropRange, draw_crops
from trainable.data.cached.source import CachedSource
from trainable.data.folder import FolderSource
from trainable.data.source import Batch

CPU = torch.device("cpu")
CLASSES = ("cat", "dog", "emu")
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
Shapes = Callable[[np.random.Generator], tuple[int, int]]


def write_images(folder: Path, count: int, seed: int, shape: Shapes) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        coarse = rng.integers(256, size=(5, 6, 3), dtype=np.uint8)
        height, width = shape(rng)
        Image.fromarray(coarse).resize((width, height)).save(folder / f"{number}.png")


def write_folder(root: Path, shape: Shapes) -> Path:
    for label, name in enumerate(CLASSES):
        write_images(root / "train" / name, 8, label, shape)
        write_images(root / "test" / name, 3, 10 + label, shape)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images of many sizes, of which some are larger than what is stored."""
    return write_folder(
        tmp_path, lambda rng: (int(rng.integers(20, 40)), int(rng.integers(20, 60)))
    )


@pytest.fixture
def equal_root(tmp_path: Path) -> Path:
    """Images of one size that are stored as they are."""
    return write_folder(tmp_path, lambda rng: (24, 30))


def config(root: Path, **keys: object) -> ImageFolderDataset:
    section = {"name": "image_folder", "root": str(root), "image_size": 16, **keys}
    return ImageFolderDataset.model_validate(section)


def make_source(root: Path, **keys: object) -> CachedSource:
    return CachedSource(config(root, **keys), CPU)


def one_pass(batches: Iterator[Batch]) -> tuple[Tensor, Tensor]:
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def to_levels(images: Tensor) -> Tensor:
    """Undoes the normalisation: `[N, C, H, W]` in levels from 0 to 255."""
    return (images * STD + MEAN) * 255


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("crop_share", [1.0, 0.875])
def test_evaluation_is_that_of_the_files_to_the_bit(root, interpolation, crop_share):
    keys = {"interpolation": interpolation, "crop_share": crop_share, "val_split": 0.25}
    cached = make_source(root, **keys)
    plain = FolderSource(config(root, **keys), CPU, num_workers=0)
    for split in ("train", "val", "test"):
        ours, theirs = (one_pass(s.eval_batches(split, 4)) for s in (cached, plain))
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])


def test_without_augmentation_training_is_that_of_the_files_to_the_bit(root):
    cached = make_source(root, augment=False)
    plain = FolderSource(config(root, augment=False), CPU, num_workers=0)
    ours, theirs = (one_pass(source.train_batches(5, seed=3)) for source in (cached, plain))
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])


@pytest.mark.parametrize("crop", [None, {"min_scale": 0.5, "max_ratio": 2.0}])
def test_training_crops_are_those_of_torchvision_to_a_level(equal_root, crop):
    source, augment = make_source(equal_root), AugmentConfig.model_validate({"crop": crop})
    images, labels = one_pass(source.train_batches(5, seed=7, augment=augment))
    order = torch.randperm(24, generator=torch.Generator().manual_seed(7)).tolist()
    limits = CropRange() if crop is None else CropRange(**crop)
    crops = draw_crops(np.full((24, 2), (24, 30)), seed=7, crop=limits, flips=0.5)
    for number, image, label in zip(order, to_levels(images), labels, strict=True):
        path = equal_root / "train" / CLASSES[number // 8] / f"{number % 8}.png"
        with Image.open(path) as file:
            box = crops.boxes[number].tolist()
            part = functional.resized_crop(file, *box, [16, 16], InterpolationMode.BILINEAR)
        expected = np.asarray(part).transpose(2, 0, 1).astype(float)
        if crops.mirrored[number]:
            expected = expected[:, :, ::-1]
        assert abs(image.numpy() - expected).max() < 1.01
        assert label == number // 8


def test_boxes_are_drawn_in_the_original_of_an_image_that_is_stored_squashed(tmp_path):
    """A crop of ratio 1 shows a circle as a circle, whatever the file's ratio."""
    for split in ("train", "test"):
        for name in CLASSES[:2]:
            (tmp_path / split / name).mkdir(parents=True)
            y, x = np.mgrid[:100, :400]
            circle = ((y - 50) ** 2 + (x - 200) ** 2 < 30**2).astype(np.uint8) * 255
            path = tmp_path / split / name / "0.png"
            Image.fromarray(circle).convert("RGB").save(path)
    source = make_source(tmp_path, mean=[0, 0, 0], std=[1, 1, 1])
    augment = AugmentConfig.model_validate({"crop": {"min_scale": 0.25, "max_ratio": 1.0}})
    checked = 0
    for seed in range(20):
        images, _ = one_pass(source.train_batches(2, seed=seed, augment=augment))
        for image in images[:, 0]:
            rows, columns = ((image > 0.5).any(dim).sum().item() for dim in (1, 0))
            if image[:, 0].max() < 0.5 and image[:, -1].max() < 0.5 and rows:
                checked += 1
                assert abs(rows - columns) <= 1
    assert checked >= 5


def test_a_pass_is_a_function_of_its_seed_and_leaves_the_global_stream(root):
    source = make_source(root)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again, other = (one_pass(source.train_batches(5, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])


@pytest.mark.parametrize("augment", [{}, COLOURED], ids=["crops", "everything"])
def test_the_number_of_threads_and_the_size_of_batches_change_no_image(root, augment):
    source, changes = make_source(root), AugmentConfig.model_validate(augment)
    before, passes = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            passes.append(one_pass(source.train_batches(5, seed=7, augment=changes)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(passes[0][0], passes[1][0])
    if not augment:
        assert torch.equal(passes[0][0], one_pass(source.train_batches(8, seed=7))[0])


def test_an_image_that_comes_several_times_is_cropped_differently_each_time(root):
    order = [3, 5, 3, 3]
    images, labels = one_pass(make_source(root).train_batches(4, seed=1, order=order))
    assert len({image.numpy().tobytes() for image in images}) == 4
    assert labels.tolist() == [0, 0, 0, 0]
    alone, _ = one_pass(make_source(root).train_batches(4, seed=1, order=[5, 3]))
    assert torch.equal(alone[0], images[1])
    assert torch.equal(alone[1], images[0])


def test_batches_have_the_promised_type_layout_and_number(root):
    source = make_source(root)
    for batches in (source.train_batches(5, seed=0), source.eval_batches("test", 5)):
        images, labels = next(batches)
        assert images.shape == (5, 3, 16, 16)
        assert images.dtype == torch.float32
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert labels.dtype == torch.int64
    assert [len(labels) for _, labels in source.train_batches(23, seed=0)] == [23]
    assert one_pass(source.train_batches(5, seed=0))[1].bincount().tolist() == [8, 8, 8]


def test_flips_of_images_that_are_not_cropped(equal_root):
    source = make_source(equal_root, augment=False)
    always = AugmentConfig.model_validate({"horizontal_flip": 1.0})
    plain, _ = one_pass(source.train_batches(5, seed=1))
    flipped, _ = one_pass(source.train_batches(5, seed=1, augment=always))
    assert torch.equal(flipped, plain.flip(3))


def test_a_file_is_decoded_once_for_all_divisions_of_the_training_images(root):
    first = make_source(root, folds=4, fold=0)
    first.prepare()
    for path in (root / "train").rglob("*.png"):
        status = path.stat()
        path.write_bytes(b"?" * status.st_size)  # what is read again is refused
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = make_source(root, folds=4, fold=1)
    next(again.train_batches(5, seed=0))


def test_preparing_decodes_what_a_training_needs_and_says_so(root):
    source = make_source(root, val_split=0.25)
    assert source.notices == ()
    source.prepare()
    assert sum("decoded" in line for line in source.notices) == 3
    for path in root.rglob("*.png"):
        path.unlink()
    list(source.train_batches(5, seed=0))
    for split in ("val", "test"):
        list(source.eval_batches(split, 5))


def test_the_fingerprint_follows_files_labels_and_the_way_they_are_read(root):
    prints = {make_source(root).fingerprint("train"), make_source(root).fingerprint("test")}
    assert len(prints) == 2
    assert make_source(root).fingerprint("train") in prints
    prints.add(make_source(root, background=[0, 0, 0]).fingerprint("train"))
    prints.add(FolderSource(config(root), CPU, num_workers=0).fingerprint("train"))
    (root / "train" / "cat" / "0.png").touch()
    prints.add(make_source(root).fingerprint("train"))
    assert len(prints) == 5


def test_a_missing_val_split_is_an_error(root):
    with pytest.raises(ValueError, match="there is no val split"):
        next(make_source(root).eval_batches("val", 4))
