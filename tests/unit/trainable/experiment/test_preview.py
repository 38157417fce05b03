"""The picture of augmented training images, read back pixel by pixel."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.image_folders import write_image_folder
from trainable.config import TrainConfig, parse_config
from trainable.experiment.preview import EPOCHS, write_preview
from trainable.inspection.picture import LINE_HEIGHT, MARGIN

CELL = 96


def config_of(dataset: dict[str, Any], augment: dict[str, Any]) -> TrainConfig:
    return parse_config(
        {
            "dataset": dataset,
            "augment": augment,
            "model": {"name": "resnet20"},
            "training": {"epochs": 1},
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
        }
    )


def read_cells(path: Path, rows: int, lines: int = 1) -> np.ndarray:
    """Returns the images of a picture, `[rows, columns, 96, 96, 3]`."""
    picture = np.asarray(Image.open(path))
    step_x, step_y = CELL + MARGIN, CELL + lines * LINE_HEIGHT + MARGIN
    columns = range(MARGIN, MARGIN + (EPOCHS + 1) * step_x, step_x)
    top = MARGIN + LINE_HEIGHT
    return np.stack(
        [
            [picture[y : y + CELL, x : x + CELL] for x in columns]
            for y in range(top, top + rows * step_y, step_y)
        ]
    )


@pytest.fixture
def folder(tmp_path: Path) -> dict[str, Any]:
    root = write_image_folder(tmp_path / "images", train=3, side=8)
    return {"name": "image_folder", "root": str(root), "image_size": 8, "crop_share": 1.0}


def test_the_first_column_has_the_images_of_the_classes_in_turn(
    folder: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "preview.png"
    write_preview(config_of(folder, {"rotation": 30}), path, images=4)
    cells = read_cells(path, rows=4)
    names = ["cat/0.png", "dog/0.png", "cat/1.png", "dog/1.png"]
    for cell, name in zip(cells[:, 0], names, strict=True):
        original = np.asarray(Image.open(Path(folder["root"], "train", name)))
        enlarged = original.repeat(CELL // 8, axis=0).repeat(CELL // 8, axis=1)
        assert np.abs(cell.astype(int) - enlarged).max() <= 1
    for row in cells:
        assert len({cell.tobytes() for cell in row}) == EPOCHS + 1


def test_the_same_config_makes_the_same_picture(folder: dict[str, Any], tmp_path: Path) -> None:
    paths = [tmp_path / "first.png", tmp_path / "second.png"]
    for path in paths:
        write_preview(config_of(folder, {"randaugment": {}, "mixup": {}}), path, images=3)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_without_augmentation_every_column_has_the_original(tmp_path: Path) -> None:
    path = tmp_path / "preview.png"
    write_preview(config_of({"name": "digits", "augment": False}, {}), path, images=2)
    for row in read_cells(path, rows=2):
        assert len({cell.tobytes() for cell in row}) == 1


def test_pairs_are_mixed_as_in_a_training(tmp_path: Path) -> None:
    path = tmp_path / "preview.png"
    augment = {"mixup": {"alpha": 1.0, "off_epoch": 3}}
    write_preview(config_of({"name": "digits", "augment": False}, augment), path, images=2)
    (first, second) = read_cells(path, rows=2, lines=2)
    total = first[0].astype(int) + second[0]
    for epoch in (1, 2):
        assert np.abs(first[epoch].astype(int) + second[epoch] - total).max() <= 2
        assert not np.array_equal(first[epoch], first[0])
    assert np.array_equal(first[3], first[0])
