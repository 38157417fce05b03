"""Dividing a pass over a data set into batches."""

import pytest

from trainable.data.source import batch_slices, no_val_split_error, train_slices


def sizes(slices: list[slice], count: int) -> list[int]:
    return [len(range(count)[part]) for part in slices]


@pytest.mark.parametrize(
    ("count", "batch_size", "expected"),
    [(6, 3, [3, 3]), (7, 3, [3, 3, 1]), (2, 3, [2]), (0, 3, [])],
)
def test_batches_cover_all_images_in_order(
    count: int, batch_size: int, expected: list[int]
) -> None:
    slices = batch_slices(count, batch_size)
    assert sizes(slices, count) == expected
    assert [image for part in slices for image in range(count)[part]] == list(range(count))


@pytest.mark.parametrize(
    ("count", "batch_size", "expected"),
    [
        (6, 3, [3, 3]),
        (8, 3, [3, 3, 2]),
        (7, 3, [3, 3]),  # without the last image
        (3, 1, [1, 1, 1]),
        (1, 3, [1]),
    ],
)
def test_a_training_pass_leaves_out_a_last_batch_of_one_image(
    count: int, batch_size: int, expected: list[int]
) -> None:
    assert sizes(train_slices(count, batch_size), count) == expected


def test_the_error_of_a_missing_validation_split_names_the_key() -> None:
    assert "dataset.val_split is null" in str(no_val_split_error())
