"""Labels and class names of an own data set."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from tests.support.own_data import Items
from trainable.data.own.labels import Classes, choose_classes, find_stated_labels
from trainable.errors import DataError


def with_targets(values: Any, name: str = "targets") -> Items:
    items = Items(lambda n: n, len(values))
    setattr(items, name, values)
    return items


def test_labels_are_read_from_the_data_set_and_through_parts_of_it() -> None:
    numbers = with_targets(torch.tensor([0, 1, 2]))
    texts = with_targets(["a", "b"], "labels")
    assert find_stated_labels(numbers) == [0, 1, 2]
    assert find_stated_labels(Subset(numbers, [2, 0])) == [2, 0]
    assert find_stated_labels(ConcatDataset([numbers, texts])) == [0, 1, 2, "a", "b"]
    assert find_stated_labels(TensorDataset(torch.zeros(2, 1), torch.tensor([1, 0]))) == [1, 0]


@pytest.mark.parametrize("values", [None, [0, 1], np.eye(3), [0.5, 1.0, 2.0], [None] * 3])
def test_what_are_no_labels_of_all_items_is_ignored(values: Any) -> None:
    items = Items(lambda n: n, 3)
    items.targets = values  # type: ignore[attr-defined]
    assert find_stated_labels(items) is None
    assert find_stated_labels(ConcatDataset([items, with_targets([0])])) is None


@pytest.mark.parametrize(
    ("labels", "stated", "configured", "expected"),
    [
        ([2, 0, 1], None, None, ("0", "1", "2")),
        (["c10", "c9", "c9"], None, None, ("c9", "c10")),
        (["a", "b"], None, ("b", "a"), ("b", "a")),
        (["a", "b"], None, ("b", "c"), ("a", "b")),
        ([0, 1], None, ("x", "y"), ("x", "y")),
        ([0, 1], None, ("x", "y", "z"), ("x", "y", "z")),
        ([0], ("x", "y"), None, ("x", "y")),
    ],
)
def test_names_are_stated_or_configured_or_those_of_the_labels(
    labels: Any, stated: Any, configured: Any, expected: tuple[str, ...]
) -> None:
    classes = choose_classes("my:data", labels, stated=stated, configured=configured)
    assert classes.names == expected


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 2, 3], "labels from 0 on without a gap, found 1, 2, 3 and no 0; count them from 0"),
        ([0, 0], "at least 2 classes, found 0 alone"),
        (["a"], "at least 2 classes, found a alone"),
        ([0, "a"], "either numbers or texts as labels, found 0 and 'a'"),
    ],
)
def test_labels_that_make_no_classes_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        choose_classes("my:data", labels, stated=None, configured=None)
    assert message in str(caught.value)


def test_labels_become_numbers() -> None:
    classes = Classes(["cat", "dog"])
    assert [classes.encode(label, "item 0") for label in (1, "dog", 0)] == [1, 1, 0]
    with pytest.raises(DataError) as caught:
        classes.encode(2, "item 7 of test")
    assert "item 7 of test must have a label from 0 to 1 (cat, dog), found 2" in str(caught.value)
    with pytest.raises(DataError) as caught:
        classes.encode("emu", "item 7")
    assert "one of the 2 classes as its label (cat, dog), found 'emu'" in str(caught.value)
