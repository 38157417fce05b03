"""The split of images in files: drawn once, recorded, and read ever after.

The record goes with the training: in the `.pt` file and, for a sweep, in its directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from typing import Any

from trainable.data.listing import TEST, normalize_path

HASH_BYTES = 8


@dataclass(frozen=True)
class SplitRecord:
    """Decides which images of `root/train` are held out, whatever files are added or removed.

    Every image has a hash of its path and the seed. When the record is drawn, the images with the
    smallest hashes of a class are held out, `round(fraction * n)` of n and at least one on each
    side. The record keeps the *cut* between these and the others. From then on an image is held
    out if its hash is below its class's cut: no image ever changes its side, and new ones are
    held out with about the same probability.

    A record `by_position` stands for a training from before there were records. Its split is that
    of `split_by_position`, which holds only for an unchanged list.
    """

    seed: int
    """`dataset.seed`."""
    fraction: float | None
    """`dataset.val_split`; None if no images of `root/train` are held out."""
    classes: tuple[str, ...] = ()
    """Class names in label order; they are part of the hashed paths."""
    cuts: tuple[int, ...] = ()
    """One number in [0, 2^64) per class; empty without a fraction."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Number of images of each split when the record was drawn; empty if that is not known."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Hash of the sorted paths of the images in each folder at that time."""
    by_position: bool = False
    max_value: float | None = None
    """The largest value of deep images that `dataset.max_value: auto` has measured."""

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, as they are stored."""
        return {**asdict(self), "classes": list(self.classes), "cuts": list(self.cuts)}

    def of_test_set(self) -> SplitRecord:
        """Returns the part of the record that matters to an evaluation on the test set."""
        tested = {name: value for name, value in self.fingerprints.items() if name == TEST}
        return replace(self, fraction=None, cuts=(), fingerprints=tested)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SplitRecord:
        """Reads what `to_dict` has returned.

        Raises:
            LookupError, TypeError, ValueError: The values are others.
        """
        record = cls(**{**data, "classes": tuple(data["classes"]), "cuts": tuple(data["cuts"])})
        kinds = {
            int: (record.seed, *record.cuts, *record.sizes.values()),
            str: (*record.classes, *record.fingerprints.values()),
            bool: (record.by_position,),
            float | int | None: (record.fraction, record.max_value),
        }
        for kind, values in kinds.items():
            for value in values:
                if not isinstance(value, kind):
                    raise TypeError(f"{value!r} is of a wrong type")
        return record


def image_hash(path: str, seed: int) -> int:
    """Returns the hash of an image, a number in [0, 2^64) that is the same on every machine.

    Args:
        path: Path below `dataset.root`, e.g. `train/cat/1.png`.
        seed: `dataset.seed`.
    """
    data = normalize_path(path).encode("utf-8", "surrogateescape")
    key = seed.to_bytes(HASH_BYTES, "big")
    return int.from_bytes(blake2b(data, digest_size=HASH_BYTES, key=key).digest(), "big")
