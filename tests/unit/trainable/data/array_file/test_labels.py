"""Which classes labels in arrays have."""

import numpy as np
import pytest

from trainable.data.array_file.labels import check_labels, encode_labels
from trainable.data.array_file.opened import ArrayHeader


def encode(train, test=None, classes=None):
    arrays = {"y_train": np.asarray(train)}
    if test is not None:
        arrays["y_test"] = np.asarray(test)
    names, labels, problems = encode_labels(arrays, classes)
    return names, {name: array.tolist() for name, array in labels.items()}, problems


@pytest.mark.parametrize(
    ("train", "names", "labels"),
    [
        ([0, 2, 1], ("0", "1", "2"), [0, 2, 1]),
        ([1, 2, 10], ("1", "2", "10"), [0, 1, 2]),
        ([[7], [3]], ("3", "7"), [1, 0]),
        (np.array([3, 250], np.uint8), ("3", "250"), [0, 1]),
        (np.array([2**40, 5]), ("5", str(2**40)), [1, 0]),
        ([True, False], ("0", "1"), [1, 0]),
        (["x10", "x2", "x10"], ("x2", "x10"), [1, 0, 1]),
        (["01", "1", "NA"], ("01", "1", "NA"), [0, 1, 2]),
        (np.array(["dög", "cat"]).astype("U"), ("cat", "dög"), [1, 0]),
        (np.array(["dög".encode(), b"cat"]), ("cat", "dög"), [1, 0]),
    ],
)
def test_classes_are_texts_in_natural_order_or_numbers_in_ascending_order(train, names, labels):
    assert encode(train) == (names, {"y_train": labels}, [])


def test_the_config_gives_texts_an_order_and_numbers_other_names():
    assert encode(["a", "b"], ["b", "a"], ("b", "a")) == (
        ("b", "a"),
        {"y_train": [1, 0], "y_test": [0, 1]},
        [],
    )
    assert encode([5, 1], classes=("cat", "dog"))[:2] == (("cat", "dog"), {"y_train": [1, 0]})
    assert encode([10, 2], classes=("10", "2"))[:2] == (("10", "2"), {"y_train": [0, 1]})
    assert encode([10, 2], classes=("2", "10"))[:2] == (("2", "10"), {"y_train": [1, 0]})


@pytest.mark.parametrize(
    ("train", "test", "classes", "problem"),
    [
        (
            ["a", "b"],
            None,
            ("a", "c"),
            "y_train must have the classes of dataset.classes: missing c and new b",
        ),
        (
            [0, 1, 2],
            None,
            ("a", "b"),
            "y_train must have the 2 classes of dataset.classes, found 3: 0, 1, 2",
        ),
        (
            [5, 6],
            None,
            ("0", "1"),
            "y_train must have the classes of dataset.classes: missing 0, 1 and new 5, 6",
        ),
        ([0, 1], [0, 2], None, "y_test has classes that y_train does not have: 2"),
        (["a", "b"], ["c", "d"], None, "y_test has classes that y_train does not have: c, d"),
        ([3, 3], None, None, "y_train must have at least 2 classes, found 3 alone"),
        ([0, 1], ["a", "b"], None, "y_train and y_test must be of one kind, found texts and whole "
         "numbers"),
        ([0, -1, -1, 1], None, None, "y_train must not be negative, found -1, position 1 and 1 "
         "more; leave out images without a class"),
        (["a", "", "b"], None, None, "y_train must have no empty texts, found position 1; leave "
         "out images without a class"),
    ],
)  # fmt: skip
def test_labels_that_do_not_fit_are_refused(train, test, classes, problem):
    assert encode(train, test, classes)[2] == [problem]


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        (
            ArrayHeader((3,), "object", "O", 24),
            "y must hold whole numbers or texts, found object; save texts as numpy.array(labels, "
            "dtype=str)",
        ),
        (
            ArrayHeader((3,), "float32", "f", 12),
            "y must hold whole numbers or texts, found float32; y.astype(int)",
        ),
        (
            ArrayHeader((3, 10), "uint8", "u", 30),
            "y must have one label per image, found [3, 10]; of one-hot labels save y.argmax(1)",
        ),
        (ArrayHeader((), "int64", "i", 8), "y must have the shape [N], found []"),
        (ArrayHeader((3,), "texts", "U", 8), None),
        (ArrayHeader((3, 1), "int64", "i", 24), None),
    ],
)
def test_labels_of_another_type_or_shape_are_refused(header, rule):
    assert check_labels("y", header) == rule
