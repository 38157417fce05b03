"""`split.csv`: which image is in which split."""

import csv
from pathlib import Path

import pytest

from tests.support.image_folders import touch
from trainable.config import ImageFolderDataset, TableDataset
from trainable.data.splits.divide import divide
from trainable.data.splits.table import write_split_table


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        touch(tmp_path / "data" / "train" / name, *(f"{number}.png" for number in range(6)))
        touch(tmp_path / "data" / "test" / name, "1, 2.png")
    return tmp_path / "data"


def read(directory: Path) -> list[dict[str, str]]:
    with (directory / "split.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_image_has_a_row_with_its_class_and_split(root, tmp_path):
    divided = divide(ImageFolderDataset(name="image_folder", root=str(root), val_split=0.5))
    write_split_table(tmp_path, divided)
    rows = read(tmp_path)
    assert [*rows[0]] == ["path", "class", "split"]
    assert [row["split"] for row in rows] == ["train"] * 6 + ["val"] * 6 + ["test"] * 2
    assert rows[-1] == {"path": "test/dog/1, 2.png", "class": "dog", "split": "test"}
    assert {row["path"] for row in rows[6:12]} == {image.key for image in divided.images["val"]}
    assert {row["class"] for row in rows[:3]} == {"cat"}


def test_every_training_image_has_its_fold_whichever_is_held_out(root, tmp_path):
    folds = []
    for fold in range(3):
        config = ImageFolderDataset(name="image_folder", root=str(root), folds=3, fold=fold)
        write_split_table(tmp_path, divide(config))
        rows = read(tmp_path)
        folds.append({row["path"]: row["fold"] for row in rows if row["split"] != "test"})
        assert {row["fold"] for row in rows if row["split"] == "val"} == {str(fold)}
        assert {row["fold"] for row in rows if row["split"] == "test"} == {""}
    assert folds[0] == folds[1] == folds[2]


def test_groups_are_a_column(root, tmp_path):
    lines = ["path,label,patient"]
    lines += [
        f"train/{name}/{n}.png,{name},{name}{n // 2}" for name in ("cat", "dog") for n in range(6)
    ]
    (root / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    config = TableDataset(
        name="table", root=str(root), file="labels.csv", group_column="patient", test_split=0.3
    )
    divided = divide(config)
    write_split_table(tmp_path, divided)
    rows = read(tmp_path)
    assert [*rows[0]] == ["path", "class", "split", "group"]
    of_split = {s: {r["group"] for r in rows if r["split"] == s} for s in ("train", "test")}
    assert not of_split["train"] & of_split["test"]
    assert len(of_split["test"]) == 2
    assert divided.listing.notices[-1] == (
        "dataset.group_column patient: train 4 groups of 8 images, test 2 groups of 4 images"
    )


def test_an_unchanged_file_is_not_written_again(root, tmp_path):
    config = ImageFolderDataset(name="image_folder", root=str(root), val_split=0.5)
    write_split_table(tmp_path, divide(config))
    before = (tmp_path / "split.csv").stat().st_ino
    write_split_table(tmp_path, divide(config))
    assert (tmp_path / "split.csv").stat().st_ino == before
    touch(root / "train" / "cat", "new.png")
    write_split_table(tmp_path, divide(config))
    assert len(read(tmp_path)) == 15


@pytest.mark.parametrize("name", ["zebr\u00e9.png", "\udce9.png"])
def test_names_of_any_encoding_are_written(root, tmp_path, name):
    touch(root / "train" / "cat", name)
    write_split_table(tmp_path, divide(ImageFolderDataset(name="image_folder", root=str(root))))
    paths = [row["path"] for row in read(tmp_path)]
    assert f"train/cat/{name}".encode("utf-8", "backslashreplace").decode() in paths
