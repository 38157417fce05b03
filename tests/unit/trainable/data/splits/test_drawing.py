"""Groups of images, e.g. the patients of a clinic, are divided whole and in proportion."""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainable.config import TableDataset
from trainable.data.listing import ListedImage, Listing
from trainable.data.splits.divide import apply_record, draw_record
from trainable.data.splits.groups import names_of
from trainable.data.splits.record import SplitRecord
from trainable.errors import DataError

Groups = dict[str, Counter]
"""Group -> label -> number of its images."""


def table(**keys) -> TableDataset:
    return TableDataset(name="table", file="labels.csv", group_column="patient", **keys)


def listing_of(groups: Groups, classes: int) -> Listing:
    images = (
        ListedImage(f"{group}_{label}_{number}.png", "", label, group)
        for group, counts in groups.items()
        for label, count in counts.items()
        for number in range(count)
    )
    names = tuple(f"class{label}" for label in range(classes))
    return Listing(Path("root"), names, {"train": tuple(images)})


def many_groups(number: int, classes: int = 5, *, mixed: bool = True) -> Groups:
    """Returns groups of 1 to 10 images of one class each or, if `mixed`, of several."""
    rng = np.random.default_rng(number)
    groups = {}
    for index in range(number):
        labels = (
            rng.integers(classes, size=rng.integers(1, 11)) if mixed else [index % classes] * 5
        )
        groups[f"p{index}"] = Counter(int(label) for label in labels)
    return groups


small_groups = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.dictionaries(st.integers(0, 2), st.integers(1, 6), min_size=1).map(Counter),
    min_size=2,
    max_size=25,
)
splits = st.sampled_from(
    [{"val_split": 0.2}, {"folds": 3}, {"test_split": 0.3}, {"test_split": 0.2, "val_split": 0.3}]
)


@given(groups=small_groups, more=small_groups, keys=splits, seed=st.integers(0, 2**63 - 1))
@settings(max_examples=40, deadline=None)
def test_groups_stay_whole_and_keep_their_side(groups, more, keys, seed):
    """For any groups and splits, and after any additions; or the split is refused."""
    listing = listing_of(groups, 3)
    try:
        record = draw_record(table(seed=seed, **keys), listing)
        images, _ = apply_record(listing, record)
    except DataError:  # a class has too few groups
        return
    for of_split in images.values():
        assert {image.label for image in of_split} == {0, 1, 2}
    sides = {image.group: split for split, of_split in images.items() for image in of_split}
    for split, of_split in images.items():
        assert {sides[image.group] for image in of_split} == {split}
    read = SplitRecord.from_dict(record.to_dict())
    again, _ = apply_record(listing_of(more | groups, 3), read)
    for split, of_split in again.items():
        assert {sides.get(image.group, split) for image in of_split} == {split}
    whole = [names_of(of_split) for of_split in again.values()]
    assert sum(map(len, whole)) == len(set().union(*whole)) == len(more | groups)


@given(groups=small_groups, seed=st.integers(0, 2**63 - 1))
@settings(max_examples=40, deadline=None)
def test_a_split_of_groups_does_not_depend_on_the_order_of_the_images(groups, seed):
    listings = [listing_of(groups, 3), listing_of(dict(reversed(groups.items())), 3)]
    results = []
    for listing in listings:
        try:
            results.append(draw_record(table(seed=seed, val_split=0.2), listing).groups)
        except DataError as error:
            results.append(str(error))
    assert results[0] == results[1]


@pytest.mark.parametrize("mixed", [True, False])
def test_each_class_has_nearly_its_share_of_images(mixed):
    groups = many_groups(200, mixed=mixed)
    listing = listing_of(groups, 5)
    total = Counter(image.label for image in listing.splits["train"])
    for seed in range(5):
        record = draw_record(table(seed=seed, val_split=0.2), listing)
        held = Counter(i.label for i in apply_record(listing, record)[0]["val"])
        assert all(abs(held[label] / total[label] - 0.2) < 0.06 for label in total)
        record = draw_record(table(seed=seed, folds=5), listing)
        of_fold = defaultdict(Counter)
        for image in listing.splits["train"]:
            of_fold[record.part_of(image)][image.label] += 1
        shares = [of_fold[fold][label] / total[label] for fold in range(5) for label in total]
        assert max(abs(share - 0.2) for share in shares) < 0.08


def test_one_more_group_moves_few_others_in_a_new_draw():
    groups = many_groups(200)
    before = draw_record(table(val_split=0.2), listing_of(groups, 5))
    moved = []
    for number in range(10):
        more = groups | {f"new{number}": Counter({0: 3, 1: 1})}
        after = draw_record(table(val_split=0.2), listing_of(more, 5))
        moved.append(sum(after.part_of_group(n) != before.part_of_group(n) for n in groups))
    assert 0 < len(before.groups) < 40  # the others are where their hashes say
    assert sum(moved) / len(moved) < 3


def test_the_parts_of_groups_of_a_seed_never_change():
    """Compared with stored results: a change would change everybody's splits."""
    groups = {f"p{index}": Counter({index % 2: 1 + index % 3}) for index in range(12)}
    listing = listing_of(groups, 2)
    record = draw_record(table(folds=3), listing)
    assert "".join(str(record.part_of_group(name)) for name in groups) == "021110220021"
    record = draw_record(table(test_split=0.25), listing)
    assert "".join(str(record.test_part_of_group(name)) for name in groups) == "111110011101"


def test_a_class_of_too_few_groups_is_refused_by_name():
    groups = many_groups(40, 2) | {"alone": Counter({2: 30})}
    listing = listing_of(groups, 3)
    for keys, text in (
        (
            {"val_split": 0.2},
            "dataset.val_split with dataset.group_column patient needs at least 2",
        ),
        ({"folds": 5}, "dataset.folds with dataset.group_column patient needs at least 5"),
        ({"test_split": 0.2}, "dataset.test_split with dataset.group_column patient needs at"),
    ):
        with pytest.raises(DataError) as caught:
            draw_record(table(**keys), listing)
        assert str(caught.value).startswith(text)
        assert str(caught.value).endswith("groups of every class, found 1 of class class2")
