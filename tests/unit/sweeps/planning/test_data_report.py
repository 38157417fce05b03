"""`sweep data`: what it says of data sets with known faults, and what it writes."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from PIL import Image

from sweeps.cli.main import main
from tests.support.image_folders import write_image_folder
from trainable.inspection.picture import LINE_HEIGHT, MARGIN, MIN_SIDE

TRAINING = {
    "model": {"name": "resnet20"},
    "training": {"epochs": 1},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}


def write_config(directory: Path, dataset: dict[str, Any], **sections: Any) -> Path:
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump({"dataset": dataset, **TRAINING, **sections}))
    return path


def run_data(path: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["data", str(path), *options])


def as_data(path: Path, *options: str) -> dict[str, Any]:
    done = run_data(path, "--json", *options)
    assert done.exit_code == 0, done.output
    data: dict[str, Any] = json.loads(done.stdout)
    return data


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_image_folder(tmp_path / "images", train=12, test=10, side=16)


@pytest.fixture
def config(root: Path, tmp_path: Path) -> Path:
    dataset = {"name": "image_folder", "root": str(root), "image_size": 16}
    return write_config(tmp_path, dataset)


def test_images_are_counted_by_class_and_split(config: Path, root: Path) -> None:
    Image.new("RGBA", (40, 20), (9, 9, 9, 9)).save(root / "train" / "dog" / "wide.png")
    (root / "train" / "dog" / "notes.txt").touch()
    data = as_data(config, "--set", "dataset.val_split=0.25")
    assert data["counts"] == {
        "train": {"cat": 9, "dog": 10},
        "val": {"cat": 3, "dog": 3},
        "test": {"cat": 10, "dog": 10},
    }
    assert (data["images"], data["classes"]) == (45, ["cat", "dog"])
    assert data["modes"] == {"RGB": 44, "RGBA": 1}
    assert data["formats"] == {".png": 45}
    assert data["left_out"] == ["train/dog/notes.txt"]
    assert data["sizes"] == {
        "smallest": [16, 16],
        "median": [16, 16],
        "largest": [40, 20],
        "different": 2,
        "enlarged": 0,
    }
    assert data["treatments"] == ["1 of 45 images: transparent, composited on white"]
    lines = run_data(config, "--set", "dataset.val_split=0.25").output.splitlines()
    assert [line.split() for line in lines[3:5]] == [
        ["cat", "9", "3", "10", "22"],
        ["dog", "10", "3", "10", "23"],
    ]
    assert "modes: 44 RGB, 1 RGBA" in lines
    assert "not read as images: 1 .txt (train/dog/notes.txt)" in lines


def test_copies_are_found_across_splits_inside_and_with_two_classes(
    config: Path, root: Path
) -> None:
    train, test = root / "train", root / "test"
    shutil.copy(train / "cat" / "0.png", test / "cat" / "a.png")
    shutil.copy(train / "cat" / "0.png", test / "cat" / "b.png")
    shutil.copy(train / "dog" / "1.png", train / "dog" / "copy.png")
    shutil.copy(train / "dog" / "2.png", train / "cat" / "wrong.png")
    notices = as_data(config)["notices"]
    assert (
        "1 picture has more than one class, which no model can learn: "
        "train/cat/wrong.png (cat) = train/dog/2.png (dog)"
    ) in notices
    assert (
        "2 of 22 test images (9.1%) are also training images, byte for byte, so that the score is "
        "too good; remove them from one side: test/cat/a.png = train/cat/0.png"
    ) in notices
    assert "2 images of train are copies of others of it (2 pictures)" in notices
    assert "1 images of test are copies of others of it (1 picture)" in notices
    first, second, _ = as_data(config)["duplicates"]
    images = ["train/cat/0.png", "test/cat/a.png", "test/cat/b.png"]
    assert [place["image"] for place in first] == images
    assert second[0] == {"image": "train/cat/wrong.png", "split": "train", "class": "cat"}


def test_an_imbalance_is_said_with_what_helps(config: Path, root: Path) -> None:
    for path in sorted((root / "train" / "dog").iterdir())[1:]:
        path.unlink()
    for path in sorted((root / "test" / "dog").iterdir())[2:]:
        path.unlink()
    notices = as_data(config)["notices"]
    assert (
        "class imbalance of 12 to 1: cat has 12 training images, dog 1; loss.weight: balanced, or "
        "training.sampler: balanced, makes classes count equally; metrics: [balanced_accuracy] "
        "shows it in the score"
    ) in notices
    assert (
        "fewer than 10 test images of dog: test_acc moves in steps of 8.3% in all, and the "
        "accuracy of such a class in steps of 50%"
    ) in notices
    balanced = ("--set", "loss.weight=balanced", "--set", "metrics=[balanced_accuracy]")
    notices = as_data(config, *balanced)["notices"]
    assert "class imbalance of 12 to 1: cat has 12 training images, dog 1" in notices


def test_damaged_files_are_problems_unless_they_are_skipped(config: Path, root: Path) -> None:
    path = root / "train" / "cat" / "0.png"
    path.write_bytes(path.read_bytes()[:200])
    done = run_data(config)
    assert done.exit_code == 2
    assert done.stderr.startswith(
        "1 image cannot be read; mend or remove them, or set dataset.skip_unreadable: true: "
        "train/cat/0.png: "
    )
    data = as_data(config, "--set", "dataset.skip_unreadable=true")
    assert data["counts"]["train"] == {"cat": 11, "dog": 12}
    assert data["left_out"] == ["train/cat/0.png"]
    assert data["notices"][0].startswith("1 of 44 images cannot be read and are left out")


def test_data_that_cannot_be_listed_are_refused_in_a_sentence(config: Path, root: Path) -> None:
    shutil.rmtree(root / "test" / "dog")
    done = run_data(config)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "must hold the same classes" in done.stderr
    assert run_data(config, "--set", "dataset.nam=x").exit_code == 2


def test_a_class_that_cannot_be_split_is_a_problem(config: Path, root: Path) -> None:
    for path in sorted((root / "train" / "dog").iterdir())[1:]:
        path.unlink()
    done = run_data(config, "--set", "dataset.val_split=0.5", "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["problems"] == [done.stderr.strip()]
    assert "at least 2 images of every class" in done.stderr


def test_the_picture_has_a_row_for_each_class_and_nothing_else_is_written(
    config: Path, root: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    output = tmp_path / "samples.png"
    done = run_data(config, "--output", str(output), "--images", "3")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == f"wrote {output}"
    assert sorted(tmp_path.rglob("*")) == sorted([*before, output])
    picture = np.asarray(Image.open(output))
    step_x, step_y = MIN_SIDE + MARGIN, MIN_SIDE + 2 * LINE_HEIGHT + MARGIN
    assert picture.shape == (MARGIN + 2 * step_y, MARGIN + 3 * step_x, 3)
    first = np.asarray(Image.open(root / "train" / "cat" / "0.png"))
    assert np.array_equal(picture[MARGIN:, MARGIN:][:MIN_SIDE:6, :MIN_SIDE:6], first)
    assert run_data(config, "--output", str(tmp_path / "gone" / "x.png")).exit_code == 2


def test_a_search_file_is_read_like_its_config(config: Path, tmp_path: Path) -> None:
    search = tmp_path / "search.yaml"
    dataset = {"dataset.val_split": {"grid": [0.25, 0.5]}}
    values = {"config": "config.yaml", "space": dataset, "tune": {"num_samples": 2}}
    search.write_text(yaml.safe_dump(values))
    for trial, expected in ((0, 3), (1, 6)):
        counts = as_data(search, "--trial", str(trial))["counts"]
        assert counts["val"] == {"cat": expected, "dog": expected}
    changed = as_data(search, "--set", "config.dataset.image_size=32")
    assert changed["sizes"]["enlarged"] == 44
    assert run_data(search, "--trial", "7").exit_code == 2


def test_a_folder_that_no_file_describes_is_looked_at_and_the_next_command_is_printed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(root / "test")
    for path in (root / "train").iterdir():
        path.rename(root / path.name)
    (root / "train").rmdir()
    monkeypatch.chdir(root.parent)
    assert as_data(Path("images"))["counts"] == {
        "train": {"cat": 10, "dog": 10},
        "test": {"cat": 2, "dog": 2},
    }
    done = run_data(Path("images"))
    assert done.stdout.splitlines()[-1].endswith("init --data images")
    assert "enlarged" not in done.stdout
    assert run_data(Path("imagez")).stderr.startswith("DATA: there is no file or folder imagez")
    assert sorted(path.name for path in root.parent.iterdir()) == ["images"]


def test_images_in_memory_are_looked_at_as_well(tmp_path: Path) -> None:
    config = write_config(tmp_path, {"name": "digits", "val_split": 0.2})
    data = as_data(config)
    assert {split: sum(of.values()) for split, of in data["counts"].items()} == {
        "train": 1151,
        "val": 287,
        "test": 359,
    }
    assert (data["modes"], data["sizes"]["largest"]) == ({"grey": 1797}, [8, 8])
    assert data["duplicates"] == []


def test_copies_in_memory_are_found(tmp_path: Path) -> None:
    dataset = {"name": "synthetic", "shape": [1, 1, 1], "num_classes": 2}
    config = write_config(tmp_path, {**dataset, "num_train": 513, "num_test": 2})
    data = as_data(config)
    assert data["counts"]["train"] == {"0": 257, "1": 256}
    assert any(notice.startswith("2 of 2 test images (100.0%)") for notice in data["notices"])


def test_a_plan_has_the_same_in_short(config: Path, tmp_path: Path) -> None:
    search = tmp_path / "search.yaml"
    space = {"optimizer.learning_rate": {"loguniform": [0.01, 0.1]}}
    search.write_text(
        yaml.safe_dump({"config": "config.yaml", "space": space, "tune": {"num_samples": 1}})
    )
    done = CliRunner().invoke(main, ["plan", str(search)])
    assert done.exit_code == 0, done.output
    assert (
        "data: image_folder: 44 images in 2 classes, train 24, test 20; 12 to 12 training images "
        "a class"
    ) in done.stdout.splitlines()


def test_a_data_set_of_ones_own_needs_the_flag(tmp_path: Path) -> None:
    config = write_config(tmp_path, {"name": "own_data:arrays"})
    done = run_data(config)
    assert done.exit_code == 2
    assert "--allow-custom-model" in done.stderr
    data = as_data(config, "--allow-custom-model")
    assert {split: sum(of.values()) for split, of in data["counts"].items()} == {
        "train": 60,
        "test": 30,
    }
    assert any(notice.startswith("30 of 30 test images (100.0%)") for notice in data["notices"])
