"""The list of the images of a data set of files, whatever names them."""

from pathlib import Path

import pytest

from tests.support.image_folders import touch
from trainable.config import (
    ArraysDataset,
    BuiltinDataset,
    ImageFolderDataset,
    TableDataset,
)
from trainable.data.listing import Listing, list_images, may_have_val


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            touch(tmp_path / split / name, "1.png", "2.png")
    rows = ["path,label,split"]
    for split in ("train", "test"):
        rows += [
            f"{split}/{name}/{n}.png,{name},{split}" for name in ("cat", "dog") for n in (1, 2)
        ]
    (tmp_path / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path


def test_a_folder_and_a_table_of_the_same_images_are_the_same_list(root):
    folder = list_images(ImageFolderDataset(name="image_folder", root=str(root)))
    table = list_images(TableDataset(name="table", root=str(root), file="labels.csv"))
    assert folder.classes == table.classes == ("cat", "dog")
    assert folder.splits == table.splits
    assert [image.key for image in table.splits["test"]] == [
        *("test/cat/1.png", "test/cat/2.png", "test/dog/1.png", "test/dog/2.png"),
    ]


def test_images_are_counted_by_class(root):
    listing = list_images(ImageFolderDataset(name="image_folder", root=str(root)))
    assert listing.counts("train") == [2, 2]
    assert Listing(root, ("cat", "dog"), {"train": listing.splits["train"][:2]}).counts(
        "train"
    ) == [2, 0]


def test_the_place_of_a_split_is_its_folder_if_it_has_one(root):
    folder = list_images(ImageFolderDataset(name="image_folder", root=str(root)))
    assert folder.place("test") == root / "test"
    table = list_images(TableDataset(name="table", root=str(root), file="labels.csv"))
    assert table.place("test") == root


def test_renamed_classes_keep_the_keys_of_their_images(root):
    config = ImageFolderDataset(name="image_folder", root=str(root))
    listing = list_images(config, key_classes=("kitten", "dog"))
    assert listing.splits["train"][0].key == "train/kitten/1.png"
    assert listing.splits["train"][0].path == f"{root}/train/cat/1.png"


def test_validation_images_are_looked_for(root):
    folder = {"name": "image_folder", "root": str(root)}
    assert not may_have_val(ImageFolderDataset(**folder))
    assert may_have_val(ImageFolderDataset(**folder, folds=2))
    assert may_have_val(ImageFolderDataset(**folder, val_split=0.5))
    for name in ("cat", "dog"):
        touch(root / "val" / name, "1.png")
    assert may_have_val(ImageFolderDataset(**folder))
    assert not may_have_val(ImageFolderDataset(name="image_folder", root="nowhere"))
    assert not may_have_val(BuiltinDataset(name="digits"))
    assert may_have_val(ArraysDataset(name="arrays", file="data.npz"))
