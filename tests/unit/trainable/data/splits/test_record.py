"""Contents of a split record, and how it is stored."""

import json
from dataclasses import replace

import pytest

from trainable.data.listing import ListedImage
from trainable.data.splits.record import SplitRecord, group_hash, image_hash

RECORD = SplitRecord(
    seed=42,
    fraction=None,
    classes=("cat", "dog"),
    cuts=(2**62, 2**63, 2**61, 2**62),
    sizes={"train": 40, "test": 2},
    fingerprints={"train": "a", "test": "b"},
    folds=3,
    fold=1,
    test_split=0.2,
    test_cuts=(5, 6),
)
GROUPS = replace(
    RECORD, cuts=(), test_cuts=(), group_column="patient", groups={"a": 2}, test_groups={"a": 1}
)


@pytest.mark.parametrize("record", [RECORD, GROUPS])
def test_a_record_is_stored_as_plain_values(record):
    assert SplitRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_a_record_of_an_older_version_is_read_and_written_the_same():
    data = {
        "seed": 7,
        "fraction": 0.25,
        "classes": ["cat", "dog"],
        "cuts": [1, 2],
        "sizes": {"train": 6},
        "fingerprints": {"train": "a"},
        "by_position": False,
    }
    record = SplitRecord.from_dict(data)
    assert (record.folds, record.test_split, record.group_column) == (None, None, None)
    assert record.to_dict() == data


@pytest.mark.parametrize(
    "change",
    [
        {"folds": "3"},
        {"fold": 0.5},
        {"test_split": "x"},
        {"test_cuts": ["x"]},
        {"group_column": 1},
        {"groups": {"a": "x"}},
    ],
)
def test_values_of_wrong_types_are_refused(change):
    with pytest.raises(TypeError, match="is of a wrong type"):
        SplitRecord.from_dict({**RECORD.to_dict(), **change})


def test_the_part_of_an_image_is_the_number_of_cuts_below_its_hash():
    image = ListedImage("train/cat/1.png", "", 0)
    value = image_hash(image.key, 42)
    for cuts, part in (((value, value + 1), 1), ((value + 1, value + 2), 0), ((1, value), 2)):
        assert replace(RECORD, cuts=(*cuts, 0, 0)).part_of(image) == part
    tested = image_hash(image.key, 0, "test")
    assert not replace(RECORD, test_cuts=(tested, 0)).is_tested(image)
    assert replace(RECORD, test_cuts=(tested + 1, 0)).is_tested(image)


def test_the_part_of_a_new_group_follows_from_its_name():
    parts = [GROUPS.part_of(ListedImage("x", "", 0, f"p{n}")) for n in range(300)]
    assert {part: 80 < parts.count(part) < 120 for part in set(parts)} == dict.fromkeys(
        range(3), True
    )
    tested = [GROUPS.is_tested(ListedImage("x", "", 0, f"p{n}")) for n in range(300)]
    assert 40 < sum(tested) < 80
    assert GROUPS.part_of(ListedImage("x", "", 1, "a")) == 2


def test_an_evaluation_needs_the_test_set_only():
    tested = RECORD.of_test_set()
    assert (tested.parts, tested.fold, tested.cuts) == (1, None, ())
    assert tested.fingerprints == {"test": "b"}
    assert (tested.test_split, tested.test_cuts) == (0.2, (5, 6))


def test_hashes_depend_on_name_seed_and_purpose_but_not_on_the_form_of_unicode():
    assert image_hash("train/\u00e9mu/1.png", 1) == image_hash("train/e\u0301mu/1.png", 1)
    name = "train/cat/1.png"
    hashes = [
        image_hash(name, 1),
        image_hash(name, 2),
        image_hash(name, 1, "test"),
        image_hash("train/dog/1.png", 1),
        group_hash(name, 1),
        group_hash(name, 1, "test"),
    ]
    assert len(set(hashes)) == len(hashes)
