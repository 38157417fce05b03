"""Which files of a folder are images of which class and split, and what is said of the others."""

import subprocess
import sys
from pathlib import Path

import pytest
from torchvision.datasets import ImageFolder

from tests.support.image_folders import touch
from trainable.config import ImageFolderDataset
from trainable.data.folder_scan import class_folders, image_extensions, scan_folder
from trainable.errors import DataError

CLASSES = ("cat", "dog", "emu")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        for name in CLASSES:
            touch(tmp_path / split / name, "1.png", "2.jpg")
    return tmp_path


def dataset(root: Path, **keys) -> ImageFolderDataset:
    return ImageFolderDataset(name="image_folder", root=str(root), **keys)


def scan(root: Path, **keys):
    return scan_folder(dataset(root, **keys))


def names_of(root: Path, split: str = "train") -> list[str]:
    folder = root / split
    return [image.path.removeprefix(f"{folder}/") for image in scan(root).splits[split]]


def test_images_come_by_class_folder_and_name(root):
    touch(root / "train" / "cat", "a/x.png", "a-b/x.png", "a/b/x.png", "10.png")
    assert names_of(root)[:6] == [
        "cat/1.png",
        "cat/10.png",
        "cat/2.jpg",
        "cat/a/x.png",
        "cat/a-b/x.png",
        "cat/a/b/x.png",
    ]
    assert names_of(root)[6:] == ["dog/1.png", "dog/2.jpg", "emu/1.png", "emu/2.jpg"]


def test_a_legacy_list_is_the_one_that_torchvision_made(root):
    """A training whose split goes by position continues only with the same list."""
    touch(root / "train" / "cat", "a/x.png", "a-b/x.PNG", "a/b/x.webp", "10.png", "y.gif", "z.txt")
    images = scan_folder(dataset(root), legacy=True).splits["train"]
    expected = ImageFolder(root / "train").samples
    assert [(image.path, image.label) for image in images] == expected


@pytest.mark.parametrize(
    "name",
    [
        "x.jfif",
        "x.jpe",
        "x.gif",
        "x.avif",
        "x.jp2",
        "x.apng",
        "x.qoi",
        "x.JPEG",
        "x.webp",
        "x.tga",
    ],
)
def test_every_extension_of_a_picture_is_read(root, name):
    touch(root / "train" / "dog", name)
    assert f"dog/{name}" in names_of(root)


@pytest.mark.parametrize(
    "name", [".pdf", ".eps", ".ps", ".mpg", ".h5", ".hdf", ".fits", ".grib", ".bufr", ".wmf"]
)
def test_documents_videos_and_tables_are_no_images(name):
    assert name not in image_extensions()


def test_files_that_are_not_read_are_counted_with_examples(root):
    touch(root / "train" / "dog", "a.txt", "b.txt", "c.mp4", "README")
    touch(root / "train", "loose.png")
    assert scan(root).notices == [
        "not read as images: 2 .txt, 1 .png, 1 without extension, 1 .mp4 "
        "(train/loose.png, train/dog/README, train/dog/a.txt, ...)"
    ]
    assert scan(root).counts("train") == [2, 2, 2]


def test_hidden_files_and_folders_are_neither_classes_nor_images_nor_mentioned(root):
    touch(root / "train", ".ipynb_checkpoints/x.png", "__MACOSX/x.png", ".DS_Store")
    touch(root / "test", ".ipynb_checkpoints/x.png")
    touch(root / "train" / "cat", "._1.png", "Thumbs.db", "desktop.ini", ".cache/x.png")
    assert class_folders(root / "train") == CLASSES
    result = scan(root)
    assert (result.classes, result.notices) == (CLASSES, [])
    assert result.counts("train") == [2, 2, 2]


def test_a_loop_of_links_ends_and_its_images_come_once(root):
    touch(root / "train" / "cat", "inner/3.png")
    (root / "train" / "cat" / "inner" / "loop").symlink_to("..")
    assert scan(root).counts("train") == [3, 2, 2]


def test_linked_folders_and_files_are_read(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    touch(elsewhere, "fox/1.png", "4.png")
    (root / "train" / "cat" / "4.png").symlink_to(elsewhere / "4.png")
    for split in ("train", "test"):
        (root / split / "fox").symlink_to(elsewhere / "fox")
    result = scan(root)
    assert result.classes == ("cat", "dog", "emu", "fox")
    assert result.counts("train") == [3, 2, 2, 1]


def test_a_link_to_a_missing_file_is_no_image(root):
    (root / "train" / "cat" / "3.png").symlink_to(root / "gone.png")
    assert scan(root).left_out == ["train/cat/3.png"]


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_validation_folder_is_the_validation_set(root, name):
    for image_class in CLASSES:
        touch(root / name / image_class, "v.png")
    result = scan(root)
    assert result.splits.keys() == result.folders.keys()
    assert result.folders == {"train": "train", "val": name, "test": "test"}
    assert result.counts("val") == [1, 1, 1]
    assert result.notices == [f"{root}/{name} is the validation set"]


def test_a_validation_folder_and_val_split_contradict_each_other(root):
    (root / "train").rename(root / "copy")
    for name in ("train", "val"):
        for image_class in CLASSES:
            touch(root / name / image_class, "1.png")
    with pytest.raises(DataError, match=r"val is the validation set, so dataset.val_split must"):
        scan(root, val_split=0.2)


def test_a_validation_folder_alone_is_the_test_set_too(root):
    (root / "test").rename(root / "val")
    result = scan(root)
    assert set(result.splits) == {"train", "test"}
    assert result.place("test") == root / "val"
    assert [image.key for image in result.splits["test"]][:2] == ["val/cat/1.png", "val/cat/2.jpg"]
    assert result.notices == [
        f"{root}/val is both the validation set and the test set: there is no {root}/test"
    ]
    assert scan(root, val_split=0.5).notices == [
        f"{root}/val is the test set: there is no {root}/test"
    ]


def test_two_validation_folders_are_refused(root):
    for name in ("val", "valid"):
        touch(root / name / "cat", "1.png")
    with pytest.raises(DataError, match="must hold one validation folder, found val and valid"):
        scan(root)


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_missing_folder_is_named(root, missing):
    (root / missing).rename(root / "elsewhere")
    other = "test" if missing == "train" else "train"
    with pytest.raises(DataError, match=f"found elsewhere, {other}") as caught:
        scan(root)
    assert f"dataset.root {root} must hold the folders train/CLASS and test/CLASS" in str(
        caught.value
    )


def test_without_a_test_folder_the_remedy_is_test_split(root):
    (root / "test").rename(root.parent / "elsewhere")
    with pytest.raises(DataError, match=r"found train; set dataset\.test_split, e\.g\. to 0\.2, "):
        scan(root)
    result = scan(root, test_split=0.2)
    assert set(result.splits) == {"train"}
    assert result.splits["train"][0].key == "train/cat/1.png"


def test_classes_directly_below_the_root_are_read_with_test_split(root):
    flat = root / "train"
    with pytest.raises(DataError, match="found cat, dog, emu; if these are the classes, set dat"):
        scan(flat)
    result = scan(flat, test_split=0.2)
    assert result.classes == CLASSES
    assert [image.key for image in result.splits["train"]][:3] == ["cat/1.png", "cat/2.jpg",
                                                                  "dog/1.png"]  # fmt: skip
    assert result.splits["train"][0].path == f"{flat}/cat/1.png"
    assert result.place("train") == flat


def test_a_test_folder_and_test_split_contradict_each_other(root):
    with pytest.raises(DataError, match=r"test is the test set, so dataset\.test_split must be"):
        scan(root, test_split=0.2)


def test_with_test_split_a_validation_folder_is_the_validation_set(root):
    (root / "test").rename(root / "valid")
    result = scan(root, test_split=0.2)
    assert set(result.splits) == {"train", "val"}
    assert result.notices == [f"{root}/valid is the validation set"]
    with pytest.raises(DataError, match=r"so dataset\.folds must be null, found 5; rename"):
        scan(root, test_split=0.2, folds=5)


def test_a_missing_root_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="found no folder"):
        scan(tmp_path / "nowhere")


def test_all_problems_are_named_at_once(root):
    (root / "test" / "emu").rename(root / "test" / "gnu")
    touch(root / "train" / "cow", "notes.txt")
    with pytest.raises(DataError) as caught:
        scan(root)
    assert str(caught.value).split("; ") == [
        f"{root}/train/cow must hold at least one image, found none, only 1 .txt "
        "(train/cow/notes.txt)",
        f"{root}/test must hold the same classes as {root}/train: missing cow, emu and new gnu",
    ]


def test_a_single_class_and_none_are_refused(tmp_path):
    for split in ("train", "test"):
        touch(tmp_path / split / "cat", "1.png")
    with pytest.raises(DataError, match="at least 2 classes, found cat alone"):
        scan(tmp_path)
    (tmp_path / "train" / "cat").rename(tmp_path / "cat")
    with pytest.raises(DataError, match="at least 2 classes, found none"):
        scan(tmp_path)


def test_given_classes_are_the_label_order(root):
    result = scan(root, classes=["emu", "cat", "dog"])
    assert result.classes == ("emu", "cat", "dog")
    images = result.splits["test"]
    assert {image.path.split("/")[-2]: image.label for image in images} == {
        "cat": 1,
        "dog": 2,
        "emu": 0,
    }


def test_classes_other_than_the_given_ones_are_refused_by_name(root):
    with pytest.raises(DataError) as caught:
        scan(root, classes=["cat", "dog", "cow"])
    assert str(caught.value).split("; ") == [
        f"{root}/train must hold the classes of dataset.classes: missing cow and new emu",
        f"{root}/test must hold the classes of dataset.classes: missing cow and new emu",
        "for renamed folders, set dataset.classes to their names in the old order",
    ]


def test_names_are_equal_in_either_form_of_unicode(root):
    for split, name in (("train", "zebr\u00e9"), ("test", "zebre\u0301")):
        touch(root / split / name, "1.png")
    result = scan(root)
    assert result.counts("train") == [2, 2, 2, 1]
    assert result.counts("test") == [2, 2, 2, 1]
    assert result.splits["test"][-1].path == f"{root}/test/zebre\u0301/1.png"
    assert result.splits["test"][-1].key == "test/zebr\u00e9/1.png"


def test_the_scan_loads_no_torch():
    """`sweep validate` looks at the images, and starts in well under a second."""
    script = "import sys, trainable.data.splits.divide; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
