import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainable.config import SyntheticDataset
from trainable.data.splits.by_position import (
    fold_by_position,
    hold_out_by_position,
    split_by_position,
    split_off_test,
)
from trainable.errors import DataError

label_counts = st.lists(st.integers(2, 40), min_size=1, max_size=6)


def shuffled_labels(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(0).permutation(labels)


@given(counts=label_counts, fraction=st.floats(0.01, 0.99), seed=st.integers(0, 2**63 - 1))
def test_split_covers_every_image_once_and_keeps_the_proportions(counts, fraction, seed):
    labels = shuffled_labels(counts)
    kept, held_out = split_by_position(labels, fraction, seed=seed)
    assert sorted([*kept, *held_out]) == list(range(len(labels)))
    for label, count in enumerate(counts):
        expected = min(max(1, round(fraction * count)), count - 1)
        assert np.sum(labels[held_out] == label) == expected


def test_split_is_a_function_of_the_seed():
    labels = shuffled_labels([50, 50])
    first, again, other = (split_by_position(labels, 0.2, seed=seed)[1] for seed in (1, 1, 2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_split_of_a_seed_is_the_same_on_every_machine():
    """Compared with a stored result: a change would change all validation sets."""
    _, held_out = split_by_position(np.arange(60, dtype=np.int64) % 3, 0.2, seed=42)
    assert held_out.tolist() == [4, 8, 15, 17, 27, 28, 35, 36, 49, 51, 58, 59]


def test_split_depends_on_position_and_not_only_on_class_size():
    labels = np.zeros(100, dtype=np.int64)
    _, held_out = split_by_position(labels, 0.3, seed=0)
    assert held_out.max() - held_out.min() > 50


def test_split_refuses_a_class_of_one_image():
    with pytest.raises(DataError, match="at least 2 images of every class, found 1 of class 1"):
        split_by_position(np.array([0, 0, 1, 2, 2]), 0.5, seed=0)


@given(counts=label_counts, folds=st.integers(2, 5), seed=st.integers(0, 2**63 - 1))
def test_folds_have_the_same_size_and_proportions(counts, folds, seed):
    labels = shuffled_labels([count + folds for count in counts])
    numbers = fold_by_position(labels, folds, seed=seed)
    for members in (numbers, *(numbers[labels == label] for label in range(len(counts)))):
        sizes = np.bincount(members, minlength=folds)
        assert len(sizes) == folds
        assert sizes.max() - sizes.min() <= 1


def test_folds_of_a_seed_are_the_same_on_every_machine():
    """Compared with a stored result: a change would change all validation sets."""
    folds = fold_by_position(np.arange(24, dtype=np.int64) % 3, 4, seed=42)
    assert folds.tolist() == [
        3,
        1,
        2,
        2,
        0,
        3,
        2,
        2,
        0,
        1,
        0,
        3,
        1,
        3,
        1,
        0,
        1,
        0,
        3,
        2,
        1,
        0,
        3,
        2,
    ]


def test_folds_refuse_classes_of_fewer_images_by_name():
    labels = np.array([0, 0, 0, 1, 2, 2])
    with pytest.raises(DataError) as caught:
        fold_by_position(labels, 3, seed=0, names=("cat", "dog", "emu"))
    assert str(caught.value) == (
        "dataset.folds needs at least 3 images of every class, found 1 of class dog, 2 of class "
        "emu"
    )


def test_each_fold_is_held_out_once():
    labels = shuffled_labels([10, 11])
    names = ("0", "1")
    held_out = []
    for fold in range(3):
        dataset = SyntheticDataset(name="synthetic", folds=3, fold=fold)
        parts = hold_out_by_position(labels, dataset, names)
        assert parts is not None
        assert sorted([*parts[0], *parts[1]]) == list(range(21))
        held_out += [*parts[1]]
    assert sorted(held_out) == list(range(21))
    assert hold_out_by_position(labels, SyntheticDataset(name="synthetic"), names) is None


def test_the_test_set_of_a_list_never_changes():
    """Compared with a stored result: a change would change all test sets."""
    _, tested = split_off_test(np.arange(30, dtype=np.int64) % 3, 0.2, ())
    assert tested.tolist() == [1, 3, 11, 13, 20, 21]
    with pytest.raises(DataError, match=r"dataset.test_split needs at least 2 images"):
        split_off_test(np.array([0, 0, 1]), 0.5, ())
