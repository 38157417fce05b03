"""`training.sampler: balanced`: what is drawn, and that images and counts stay what they are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from trainable.config import ImageFolderDataset
from trainable.data.folder import FolderSource
from trainable.training.sampling import draw_balanced
from trainable.training.trainer import Trainer

LABELS = torch.tensor([2] * 5 + [0] * 600 + [3] * 45)


def test_every_class_is_drawn_equally_often() -> None:
    draws = torch.stack([LABELS[draw_balanced(LABELS, seed=seed)] for seed in range(20)])
    shares = torch.bincount(draws.flatten()).double() / draws.numel()
    assert shares.tolist() == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3], abs=0.02)
    assert draws.shape == (20, 650)


def test_every_image_of_a_class_is_drawn_equally_often() -> None:
    counts = torch.zeros(len(LABELS))
    for seed in range(40):
        counts += torch.bincount(torch.tensor(draw_balanced(LABELS, seed=seed)), minlength=650)
    for label in (0, 2, 3):
        own = counts[label == LABELS]
        assert own.min() > 0
        assert own.std() < 3 * own.mean().sqrt()


def test_the_draws_are_a_function_of_the_seed() -> None:
    assert draw_balanced(LABELS, seed=3) == draw_balanced(LABELS, seed=3)
    assert draw_balanced(LABELS, seed=3) != draw_balanced(LABELS, seed=4)


def skewed_folder(root: Path) -> ImageFolderDataset:
    """Has 12 images of one class and 2 of the other; every image has a colour of its own."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name, count in (("many", 12), ("few", 2)):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return ImageFolderDataset(name="image_folder", root=str(root), image_size=16)


def test_a_repeated_image_of_a_folder_is_changed_differently_each_time(tmp_path: Path) -> None:
    source = FolderSource(skewed_folder(tmp_path), torch.device("cpu"), num_workers=0)
    few = source.class_names.index("few")
    assert source.train_labels.tolist().count(few) == 2
    order = draw_balanced(source.train_labels, seed=5)
    batches = list(source.train_batches(14, seed=5, order=order))
    again = list(source.train_batches(14, seed=5, order=order))
    images, labels = batches[0]
    assert torch.equal(images, again[0][0])
    assert (labels == few).sum() > 3
    assert len(torch.unique(images.flatten(1), dim=0)) == 14
    # The first time that an image is drawn, it is what a pass without repeats makes of it.
    once = next(iter(source.train_batches(14, seed=5, order=range(14))))[0]
    for place, index in enumerate(order):
        if index not in order[:place]:
            assert torch.equal(images[place], once[index])


def test_a_training_counts_the_images_that_it_trains_on(
    tiny_trainer: Callable[..., Trainer],
) -> None:
    trainer = tiny_trainer(training={"sampler": "balanced", "batch_size": 100})
    seen: list[int] = []
    row = trainer.run_epoch(on_batch=seen.append)
    assert sum(seen) == trainer.source.size("train")
    assert row["images_per_s"] > sum(seen) / row["epoch_s"]


def test_a_balanced_epoch_is_a_function_of_seed_and_epoch(
    tiny_trainer: Callable[..., Trainer],
    without_times: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    sections = {"training": {"sampler": "balanced"}}
    first, second = tiny_trainer(**sections), tiny_trainer(**sections)
    rows = [without_times(first.run_epoch()) for _ in range(2)]
    second.load_state_dict(first.state_dict() | {"epoch": 1})
    assert without_times(second.run_epoch())["train_loss"] != rows[0]["train_loss"]
    third, shuffled = tiny_trainer(**sections), tiny_trainer()
    assert without_times(third.run_epoch()) == rows[0]
    assert without_times(shuffled.run_epoch())["train_loss"] != rows[0]["train_loss"]
