"""Notices on groups of images, and groups that the data have in two splits."""

from pathlib import Path

import pytest

from trainable.data.listing import ListedImage, Listing
from trainable.data.splits.groups import check_groups, describe_groups
from trainable.errors import DataError


def images_of(*groups: str) -> tuple[ListedImage, ...]:
    return tuple(ListedImage(f"{at}.png", "", 0, group) for at, group in enumerate(groups))


def test_groups_and_images_of_each_split_are_counted():
    images = {"test": images_of("c"), "train": images_of("a", "a", "b", "b"), "val": ()}
    assert describe_groups("patient", images) == [
        "dataset.group_column patient: train 2 groups of 4 images, val 0 groups of 0 images, "
        "test 1 group of 1 image"
    ]


def test_a_column_of_numbers_of_the_images_is_said():
    lines = describe_groups("id", {"train": images_of(*"abcdefghi", "i"), "test": images_of("x")})
    assert lines[1] == (
        "dataset.group_column id looks like a number of the images, which keeps none together: "
        "nearly every image is alone in its group"
    )


def test_a_group_in_two_splits_of_the_data_is_refused_by_name():
    splits = {"train": images_of(*"abcdefg"), "test": images_of(*"fghabcd"), "val": images_of("x")}
    with pytest.raises(DataError) as caught:
        check_groups("patient", Listing(Path("root"), ("cat", "dog"), splits))
    assert str(caught.value) == (
        "dataset.group_column patient must not have a value in both train and test, found 6 "
        "(a, b, c, d, f, ...)"
    )
