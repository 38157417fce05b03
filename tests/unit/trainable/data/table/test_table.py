"""Which images of a table have which class and split, and what is refused."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.image_folders import touch, write_image_folder
from tests.support.label_tables import table_dataset, table_of_folder, write_table
from trainable.config import ImageFolderDataset
from trainable.data.listing import Listing, list_images
from trainable.data.table import list_table, natural_order
from trainable.errors import DataError

HEADER = ("path", "label", "split")
ROWS = (
    ("1.png", "cat", "train"),
    ("2.png", "dog", "train"),
    ("3.png", "cat", "test"),
    ("4.png", "dog", "test"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    touch(tmp_path, *(f"{number}.png" for number in range(1, 7)))
    return tmp_path


def list_rows(root: Path, rows=ROWS, header=HEADER, **keys) -> Listing:
    write_table(root / "labels.csv", header, rows)
    return list_table(table_dataset(root, **keys))


def refusal(root: Path, rows=ROWS, header=HEADER, **keys) -> str:
    with pytest.raises(DataError) as error:
        list_rows(root, rows, header, **keys)
    return str(error.value)


def keys_of(listing: Listing) -> dict[str, list[tuple[str, int]]]:
    return {
        split: [(image.key, image.label) for image in images]
        for split, images in listing.splits.items()
    }


def test_the_images_of_every_split_and_class_come_by_label_and_path(root):
    listing = list_rows(root, ROWS[::-1])
    assert listing.classes == ("cat", "dog")
    assert keys_of(listing) == {
        "train": [("1.png", 0), ("2.png", 1)],
        "test": [("3.png", 0), ("4.png", 1)],
    }
    assert listing.splits["train"][0].path == str(root / "1.png")
    assert listing.notices == []


@pytest.mark.parametrize("name", ["labels.csv", "labels.tsv", "LABELS.CSV", "labels.parquet"])
def test_a_folder_and_its_table_list_the_same_images(tmp_path, name):
    root = write_image_folder(tmp_path, train=12, test=3, classes=("a", "b", "c"))
    table_of_folder(root, root / name.lower()).rename(root / name)
    folder = list_images(ImageFolderDataset(name="image_folder", root=str(root)))
    listing = list_images(table_dataset(root, name))
    assert listing.classes == folder.classes
    assert listing.splits == folder.splits


def test_a_table_without_splits_has_training_images_only(root):
    listing = list_rows(root, [row[:2] for row in ROWS], HEADER[:2], test_split=0.5)
    assert keys_of(listing) == {
        "train": [("1.png", 0), ("3.png", 0), ("2.png", 1), ("4.png", 1)],
    }


@pytest.mark.parametrize("name", ["val", "valid", "Validation", " val "])
def test_images_for_validation_are_the_validation_set(root, name):
    rows = [*ROWS, ("5.png", "cat", name), ("6.png", "dog", name)]
    listing = list_rows(root, rows)
    assert keys_of(listing)["val"] == [("5.png", 0), ("6.png", 1)]
    message = refusal(root, rows, val_split=0.1)
    assert "dataset.val_split must be null, because" in message
    assert message.endswith("has images for validation, found 0.1")


def test_without_test_images_those_for_validation_are_the_test_set_as_in_folders(root):
    rows = [row if row[2] == "train" else (*row[:2], "val") for row in ROWS]
    listing = list_rows(root, rows)
    assert listing.splits.keys() == {"train", "test"}
    assert "both the validation set and the test set" in listing.notices[0]
    assert list_rows(root, rows, test_split=0.2).splits.keys() == {"train", "val"}


def test_another_split_is_refused_with_its_lines(root):
    rows = [(*row[:2], "training" if row[2] == "train" else "test") for row in ROWS]
    assert refusal(root, rows) == (
        'dataset.split_column split must hold train, val or test, found "training" in 2 lines: '
        f"2, 3 of {root / 'labels.csv'}"
    )


@pytest.mark.parametrize(
    ("column", "place"), [("path", 0), ("label", 1), ("split", 2), ("group", 3)]
)
def test_an_empty_field_is_refused_with_its_lines(root, column, place):
    rows = [[*row, "x"] for row in ROWS]
    rows[1][place] = ""
    rows[3][place] = " "
    message = refusal(root, rows, (*HEADER, "group"), group_column="group")
    assert message.startswith(
        f"dataset.{column}_column {column} must not be empty, found nothing in 2 lines: 3, 5 of "
    )


def test_labels_are_texts_as_they_are_written(root):
    names = ("01", "1", "NA", "None", "null", "1e3")
    rows = [(f"{number}.png", name) for number, name in enumerate(names, start=1)]
    listing = list_rows(root, rows, HEADER[:2], test_split=0.5)
    assert listing.classes == ("01", "1", "1e3", "NA", "None", "null")


def test_classes_are_in_natural_order_or_in_that_of_the_config(root):
    rows = [("1.png", "10"), ("2.png", "2"), ("3.png", "1b"), ("4.png", "1a")]
    assert list_rows(root, rows, HEADER[:2]).classes == ("1a", "1b", "2", "10")
    wanted = ("10", "1b", "1a", "2")
    listing = list_rows(root, rows, HEADER[:2], classes=wanted)
    assert listing.classes == wanted
    assert [image.key for image in listing.splits["train"]] == ["1.png", "3.png", "4.png", "2.png"]


def test_other_classes_than_those_of_the_config_are_refused_by_name(root):
    message = refusal(root, classes=("cat", "emu"))
    assert "must hold the classes of dataset.classes: missing emu and new dog" in message


def test_natural_order_compares_numbers_of_any_length():
    long = "9" * 5000
    names = ["x10", "x9", "x2b", "x2a", "x02", long, "y", "X", ""]
    expected = ("", long, "X", "x02", "x2a", "x2b", "x9", "x10", "y")
    assert natural_order(names) == expected


def test_labels_are_compared_without_outer_spaces_and_unicode_forms(root):
    rows = [("1.png", "é"), ("2.png", " é "), ("3.png", "e\u0301"), ("4.png", "e"), ("5.png", "E")]
    listing = list_rows(root, rows, HEADER[:2], test_split=0.5)
    assert listing.classes == ("E", "e", "é")
    assert listing.notices == [
        f"{root / 'labels.csv'}: spaces around the class are left out in line 3",
        f"{root / 'labels.csv'}: classes that differ by capital letters only: E (1) and e (1)",
    ]


def test_one_class_alone_is_refused(root):
    assert refusal(root, ROWS[::2]) == (
        "dataset.label_column label must hold at least 2 classes, found cat alone"
    )


def test_a_class_without_training_images_is_refused_and_one_without_test_images_named(root):
    extra = [("5.png", "emu", "test")]
    assert "training images of every class, found none of emu in" in refusal(root, [*ROWS, *extra])
    listing = list_rows(root, [*ROWS, ("5.png", "emu", "train")])
    assert listing.notices == [f"{root / 'labels.csv'} has no test image of emu"]


def test_missing_files_are_counted_and_the_first_are_named(root):
    (root / "Upper.PNG").touch()
    rows = [*ROWS, ("upper.png", "cat", "train")]
    rows += [(f"far/{number}.png", "dog", "train") for number in range(6)]
    assert refusal(root, rows) == (
        f"dataset.path_column path: 7 images are missing below {root}: upper.png (line 6, but "
        "there is Upper.PNG), far/0.png (line 7), far/1.png (line 8), far/2.png (line 9), "
        "far/3.png (line 10), ..."
    )


def test_a_path_that_leads_out_of_the_root_is_refused(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    touch(other, "x.png")
    rows = [
        *ROWS,
        ("../x.png", "cat", "train"),
        (str(other / "x.png"), "cat", "train"),
        (r"C:\pictures\1.png", "cat", "train"),
        ("s3://bucket/1.png", "cat", "train"),
        (r"a\..\..\1.png", "cat", "train"),
    ]
    assert refusal(root, rows).split("; dataset.path_column ") == [
        "dataset.path_column path: ../x.png in line 6 (and 2 more) is not below dataset.root; set "
        "dataset.root to a folder above all images",
        r"path: C:\pictures\1.png in line 8 is a path of a Windows machine; write paths below "
        "dataset.root",
        "path: s3://bucket/1.png in line 9 is an address; download the images and write paths "
        "below dataset.root",
    ]


def test_rows_of_one_image_are_merged_if_they_agree(root):
    rows = [*ROWS, ("./1.png", "cat", "train"), (str(root / "2.png"), "dog", "train")]
    listing = list_rows(root, rows)
    assert keys_of(listing)["train"] == [("1.png", 0), ("2.png", 1)]
    assert listing.notices == [
        f"{root / 'labels.csv'}: 2 of 6 rows repeat others and are left out"
    ]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (("1.png", "dog", "train", "a"), "label_column label: an image must have one class"),
        (("1.png", "cat", "test", "a"), "split_column split: an image must be in one split"),
        (("1.png", "cat", "train", "b"), "group_column who: an image must be in one group"),
    ],
)
def test_rows_of_one_image_that_disagree_are_refused(root, row, text):
    rows = [*((*row, "a") for row in ROWS), row]
    message = refusal(root, rows, (*HEADER, "who"), group_column="who")
    assert message.startswith(f"dataset.{text}; by line of ")
    assert "1.png is " in message
    assert message.endswith(" in 6")


def test_groups_are_read_as_text(root):
    rows = [(*row, group) for row, group in zip(ROWS, ("01", "1 ", "2", "3"), strict=True)]
    listing = list_rows(root, rows, (*HEADER, "patient"), group_column="patient")
    assert [image.group for image in listing.splits["train"]] == ["01", "1"]


def test_all_problems_with_the_fields_are_listed_at_once(root):
    message = refusal(root, [("1.png", "", "x"), ("", "cat", "train")])
    assert message.count("must not be empty") == 2
    assert "must hold train, val or test" in message


def test_a_missing_root_or_an_empty_table_is_refused(root):
    with pytest.raises(DataError, match="must be a directory; there is no"):
        list_table(table_dataset(root / "absent"))
    assert "must have at least one image" in refusal(root, [])


LABELS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]),
    min_size=1,
    max_size=8,
).filter(str.strip)


@given(st.lists(LABELS, min_size=6, max_size=6), st.sampled_from([".csv", ".tsv"]))
def test_every_label_survives_the_file(tmp_path_factory, labels, extension):
    """Whatever is written as a label is the class, but for outer spaces and Unicode's form."""
    root = tmp_path_factory.mktemp("labels")
    touch(root, *(f"{number}.png" for number in range(6)))
    rows = [(f"{number}.png", label) for number, label in enumerate(labels)]
    write_table(root / f"labels{extension}", HEADER[:2], rows)
    expected = [unicodedata.normalize("NFC", label.strip()) for label in labels]
    if len(set(expected)) < 2:
        return
    listing = list_table(table_dataset(root, f"labels{extension}"))
    images = sorted(listing.splits["train"], key=lambda image: image.key)
    assert [listing.classes[image.label] for image in images] == expected
