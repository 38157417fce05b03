"""Notices when images, or the way to split them, have changed since a record was drawn."""

from dataclasses import replace
from pathlib import Path

import pytest

from trainable.data.listing import ListedImage, Listing
from trainable.data.splits.changes import (
    changed_splits,
    compute_fingerprints,
    describe_change,
    describe_redraw,
)
from trainable.data.splits.record import SplitRecord

RECORD = SplitRecord(42, 0.2, sizes={"train": 8, "val": 2, "test": 3})


@pytest.mark.parametrize(
    ("after", "text"),
    [
        ({"seed": 7}, "the validation split is drawn anew (dataset.seed 42 -> 7): "),
        ({"fraction": None}, "the validation split is drawn anew (dataset.val_split 0.2 -> null"),
        ({"test_split": 0.1}, "the splits are drawn anew (dataset.test_split null -> 0.1): "),
        (
            {"group_column": "patient"},
            "the validation split is drawn anew (dataset.group_column null -> patient): ",
        ),
    ],
)
def test_another_way_to_split_is_said_with_its_keys(after, text):
    (line,) = describe_redraw(RECORD, replace(RECORD, **after))
    assert line.startswith(text)


def test_the_same_way_to_split_says_nothing():
    assert describe_redraw(RECORD, RECORD) == []
    nothing = SplitRecord(42, None)
    assert describe_redraw(nothing, replace(nothing, group_column="patient")) == []


def test_another_fold_is_said_unless_the_record_is_for_all_folds():
    record = replace(RECORD, fraction=None, folds=5, fold=3)
    assert "dataset.fold 3 -> 4" in describe_redraw(record, replace(record, fold=4))[0]
    assert describe_redraw(replace(record, fold=None), record) == []


def test_a_fingerprint_is_that_of_the_names_in_any_order_below_the_folder():
    images = [ListedImage(f"train/cat/{n}.png", "", 0) for n in range(3)]
    names = {"train": "train"}
    listing = Listing(Path("root"), ("cat", "dog"), {"train": tuple(images)}, names)
    first = compute_fingerprints(listing, {"train": images})
    assert compute_fingerprints(listing, {"train": images[::-1]}) == first
    assert compute_fingerprints(listing, {"train": images[:2]}) != first
    elsewhere = [ListedImage(f"val/cat/{n}.png", "", 0) for n in range(3)]
    listing.folders["train"] = "val"
    assert compute_fingerprints(listing, {"train": elsewhere}) == first


def test_the_numbers_of_the_changed_splits_are_said():
    record = replace(RECORD, fingerprints={"train": "a", "test": "b"})
    assert describe_change(Path("root"), record, {}, {"train": "a", "test": "b"}) == []
    sizes = {"train": 9, "val": 3, "test": 3}
    fingerprints = {"train": "x", "test": "b"}
    assert describe_change(Path("root"), record, sizes, fingerprints) == [
        "the images in root have changed since the training began: train 8 -> 9, val 2 -> 3; "
        "those that were there keep their side"
    ]
    assert changed_splits(record, {"train": "a", "test": "b", "val": "new"}) == ["val"]
