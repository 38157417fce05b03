"""The split of images in files: drawn once, recorded, and read ever after.

The record goes with the training: in the `.pt` file and, for a sweep, in its directory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from hashlib import blake2b
from typing import Any

from trainable.data.listing import TEST, ListedImage, normalize_path
from trainable.data.splits.by_position import TEST_SEED

HASH_BYTES = 8
HASH_RANGE = 2 ** (8 * HASH_BYTES)
FIRST_FIELDS = ("seed", "fraction", "classes", "cuts", "sizes", "fingerprints", "by_position")
"""Fields of the first records; they are always stored."""


@dataclass(frozen=True)
class SplitRecord:
    """Decides which images are in which split, whatever files are added or removed.

    Every image has a hash of its path and the seed. When the record is drawn, the images of a
    class are sorted by their hashes. With `val_split`, those with the smallest hashes are held
    out, `round(fraction * n)` of n and at least one on each side; with `folds`, every fold is the
    next n / folds of them. The record keeps the *cuts* between these parts. From then on an
    image's part is the number of cuts that its hash has reached: no image ever changes its part,
    and new ones come to all parts with about the same probability.

    With groups, all images of a group follow the group. Its part is the one that the hash of its
    name says, also that of a new group, unless the record says otherwise: groups are drawn so that
    every part has its share of the images.

    The test set of `test_split` is drawn in the same way, before and with a seed of its own.

    A record `by_position` stands for a training from before there were records. Its split is that
    of `split_by_position`, which holds only for an unchanged list.
    """

    seed: int
    """`dataset.seed`."""
    fraction: float | None
    """`dataset.val_split`; None if there is none."""
    classes: tuple[str, ...] = ()
    """Class names in label order; they are part of the hashed paths of images in folders."""
    cuts: tuple[int, ...] = ()
    """Ascending numbers in [0, 2^64) for each class, one fewer than there are parts; empty if
    nothing is held out, or groups are."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Number of images of each split when the record was drawn, with folds before any is held
    out; empty if that is not known."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Hash of the sorted paths of the images of each split at that time, before any of `train` are
    held out."""
    by_position: bool = False
    folds: int | None = None
    """`dataset.folds`."""
    fold: int | None = None
    """`dataset.fold` of the training that has this record; None without folds, and in a record for
    all of them."""
    test_split: float | None = None
    """`dataset.test_split`."""
    test_cuts: tuple[int, ...] = ()
    """One number in [0, 2^64) for each class; below it are the hashes of the test set."""
    group_column: str | None = None
    """`dataset.group_column`."""
    groups: Mapping[str, int] = field(default_factory=dict)
    """Part of a group: its fold; without folds, 0 is held out and 1 is not. Groups whose hash says
    the same are left out."""
    test_groups: Mapping[str, int] = field(default_factory=dict)
    """0 for groups of the test set, 1 for others. Groups whose hash says the same are left out."""
    max_value: float | None = None
    """White of deep images where `dataset.max_value` is `auto`; measured with the first draw."""

    @property
    def parts(self) -> int:
        """Number of parts that the training set is divided into."""
        if self.folds is not None:
            return self.folds
        return 1 if self.fraction is None else 2

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, as they are stored; later fields only if they have a value."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if name in FIRST_FIELDS or value not in (None, (), {})
        }

    def of_test_set(self) -> SplitRecord:
        """Returns the part of the record that matters to an evaluation on the test set."""
        tested = {name: value for name, value in self.fingerprints.items() if name == TEST}
        return replace(
            self,
            fraction=None,
            cuts=(),
            fingerprints=tested,
            folds=None,
            fold=None,
            groups={},
        )

    def is_tested(self, image: ListedImage) -> bool:
        """Returns whether an image is in the test set of `test_split`."""
        if self.test_split is None:
            return False
        if self.group_column is not None:
            return self.test_part_of_group(image.group or "") == 0
        return image_hash(image.key, TEST_SEED, TEST) < self.test_cuts[image.label]

    def test_part_of_group(self, name: str) -> int:
        """Returns 0 for a group of the test set of `test_split`, and 1 for others."""
        assert self.test_split is not None, "there are such groups"
        value = group_hash(name, TEST_SEED, TEST)
        return self.test_groups.get(name, int(value >= self.test_split * HASH_RANGE))

    def part_of(self, image: ListedImage) -> int:
        """Returns the part of an image of the training set; see `groups` for their numbers."""
        if self.group_column is not None:
            return self.part_of_group(image.group or "")
        inner = self.parts - 1
        cuts = self.cuts[image.label * inner : (image.label + 1) * inner]
        return bisect_right(cuts, image_hash(image.key, self.seed))

    def part_of_group(self, name: str) -> int:
        """Returns the part of a group of the training set."""
        value = group_hash(name, self.seed)
        if self.fraction is None:
            return self.groups.get(name, value * self.parts // HASH_RANGE)
        return self.groups.get(name, int(value >= self.fraction * HASH_RANGE))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SplitRecord:
        """Reads what `to_dict` has returned.

        Raises:
            LookupError, TypeError, ValueError: The values are others.
        """
        lists = {name: tuple(data[name]) for name in ("classes", "cuts")}
        record = cls(**{**data, **lists, "test_cuts": tuple(data.get("test_cuts", ()))})
        kinds = {
            int: (
                record.seed,
                *record.cuts,
                *record.test_cuts,
                *record.sizes.values(),
                *record.groups.values(),
                *record.test_groups.values(),
            ),
            str: (*record.classes, *record.fingerprints.values(), *record.groups),
            bool: (record.by_position,),
            float | int | None: (record.fraction, record.test_split, record.max_value),
            int | None: (record.folds, record.fold),
            str | None: (record.group_column,),
        }
        for kind, values in kinds.items():
            for value in values:
                if not isinstance(value, kind):
                    raise TypeError(f"{value!r} is of a wrong type")
        return record


def image_hash(key: str, seed: int, purpose: str = "") -> int:
    """Returns the hash of an image, a number in [0, 2^64) that is the same on every machine.

    Args:
        key: Path below `dataset.root`, e.g. `train/cat/1.png`.
        seed: Seed of the split.
        purpose: What is drawn by it; draws with one seed for several purposes are independent.
    """
    data = normalize_path(key).encode("utf-8", "surrogateescape")
    return _hash(data, seed, purpose)


def group_hash(name: str, seed: int, purpose: str = "") -> int:
    """Returns the hash of a group, as `image_hash` does that of an image."""
    return _hash(name.encode("utf-8", "surrogateescape"), seed, f"group {purpose}".rstrip())


def _hash(data: bytes, seed: int, purpose: str) -> int:
    key = seed.to_bytes(HASH_BYTES, "big")
    digest = blake2b(data, digest_size=HASH_BYTES, key=key, person=purpose.encode())
    return int.from_bytes(digest.digest(), "big")
