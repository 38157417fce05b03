"""Facts on an own data set from a few of its items."""

import pytest

from trainable.config import OwnDataset
from trainable.data.own.build import build_own
from trainable.data.own.measure import (
    ImageForm,
    Look,
    final_shape,
    look_at,
    probed,
    stated_labels,
)


def look(name: str) -> Look:
    return look_at(build_own(OwnDataset(name=f"tests.support.own_data:{name}")))


def test_the_ends_and_three_others_are_looked_at() -> None:
    assert probed(100) == [0, 25, 50, 75, 99]
    assert probed(1) == [0]
    assert probed(2) == [0, 1]


@pytest.mark.parametrize(
    ("name", "form", "is_random", "is_repeatable"),
    [
        ("arrays", ImageForm(3, (8, 8), is_finished=False), False, True),
        ("drawing", ImageForm(3, (8, 8), is_finished=False), True, True),
        ("pictures", ImageForm(3, None, is_finished=False), False, True),
        ("floats", ImageForm(3, (8, 8), is_finished=True), True, True),
        ("epochs", ImageForm(1, (8, 8), is_finished=False), True, True),
        ("own_generator", ImageForm(1, (8, 8), is_finished=False), True, False),
    ],
)
def test_form_and_randomness_are_those_of_the_items(
    name: str, form: ImageForm, is_random: bool, is_repeatable: bool
) -> None:
    seen = look(name)
    assert seen.form == form
    assert (seen.is_random, seen.is_repeatable) == (is_random, is_repeatable)


def test_stated_labels_that_are_not_those_of_the_items_are_ignored() -> None:
    data = build_own(OwnDataset(name="tests.support.own_data:arrays"))
    seen = look_at(data)
    assert stated_labels(data, seen, "train") == [n % 3 for n in range(60)]
    data.splits["train"].data.targets = [0] * 60
    assert stated_labels(data, seen, "train") is None


def test_the_shape_is_that_of_the_images_or_the_size_they_are_given() -> None:
    plain, sized = OwnDataset(name="my:data"), OwnDataset(name="my:data", image_size=32)
    assert final_shape(ImageForm(1, (8, 6), is_finished=False), plain) == (1, 8, 6)
    assert final_shape(ImageForm(1, (8, 6), is_finished=False), sized) == (1, 32, 32)
    assert final_shape(ImageForm(4, (8, 6), is_finished=True), sized) == (4, 8, 6)
