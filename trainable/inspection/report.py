"""The report of `sweep data`: counts, sizes, modes, duplicates and what to do about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from trainable.config import FileDataset, TrainConfig
from trainable.data.loading import load_data
from trainable.inspection.balance import describe_balance
from trainable.inspection.copies import describe_equal, describe_near
from trainable.inspection.duplicates import find_near, group_equal
from trainable.inspection.entries import Entry, Examined
from trainable.models.pretrained import resolve


@dataclass(frozen=True)
class Sizes:
    """The sizes of images, width and height in pixels."""

    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]
    different: int
    """Number of different sizes."""
    enlarged: int
    """Images with a side below `dataset.image_size`."""


@dataclass(frozen=True)
class DataReport:
    """Results of the inspection of a data set."""

    name: str
    examined: Examined
    image_size: int | None
    """Pixels that images are resized to; None if they stay as they are."""
    counts: Mapping[str, Sequence[int]]
    """Split -> number of images of each class, in label order."""
    equal: Sequence[Sequence[int]]
    """Groups of images with the same content, by position in `examined.entries`."""
    near: Sequence[tuple[int, int]]
    """Pairs of images that look nearly the same but differ."""
    notices: Sequence[str]
    """Lines on what should be looked at."""

    @property
    def problems(self) -> Sequence[str]:
        """Why every training would fail."""
        return self.examined.problems

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as plain values: the output of `sweep data --json`."""
        entries, classes = self.examined.entries, self.examined.classes
        sizes = summarize_sizes(self)
        named = {
            split: dict(zip(classes, of_split, strict=True))
            for split, of_split in self.counts.items()
        }
        return {
            "dataset": self.name,
            "classes": list(classes),
            "images": len(entries),
            "counts": named,
            "sizes": sizes and asdict(sizes),
            "modes": dict(Counter(entry.mode for entry in entries if entry.mode)),
            "formats": dict(self.examined.formats),
            "left_out": list(self.examined.left_out),
            "unreadable": {entry.name: entry.damage for entry in entries if entry.damage},
            "treatments": list(self.examined.treatments),
            "duplicates": [[self._place(position) for position in group] for group in self.equal],
            "near_duplicates": [
                [self._place(position) for position in pair] for pair in self.near
            ],
            "notices": list(self.notices),
            "problems": list(self.problems),
        }

    def _place(self, position: int) -> dict[str, str]:
        entry = self.examined.entries[position]
        return {
            "image": entry.name,
            "split": entry.split,
            "class": self.examined.classes[entry.label],
        }


def examine(config: TrainConfig, *, most_opened: int, allow_custom_model: bool) -> DataReport:
    """Reads every image of the data set of a config; writes nothing.

    Args:
        config: Complete settings.
        most_opened: Images of each class and split that can be drawn afterwards.
        allow_custom_model: Whether a data set of the user's own may be imported.

    Raises:
        DataError: The data set is missing or cannot be used, or is code that is not allowed.
        ConfigError: The weights of `model.pretrained`, which have the size of images, are unknown.
    """
    dataset = resolve(config).dataset
    if isinstance(dataset, FileDataset):
        from trainable.inspection.files import examine_files

        examined = examine_files(dataset)
    else:
        import torch

        from trainable.inspection.loaded import examine_source

        plain = dataset.model_copy(update={"augment": False})
        source = load_data(plain, torch.device("cpu"), allow_custom=allow_custom_model)
        examined = examine_source(source, most_opened=most_opened)
    entries = examined.entries
    counts = count_images(entries, len(examined.classes))
    equal = group_equal([entry.digest for entry in entries])
    same = {position: number for number, group in enumerate(equal) for position in group}
    near = [
        (first, second)
        for first, second in find_near([entry.near_hash for entry in entries])
        if same.get(first, -1) != same.get(second, -2)
    ]
    notices = [
        *examined.notices,
        *examined.treatments,
        *describe_equal(entries, examined.classes, equal),
        *describe_near(entries, near),
        *describe_balance(config, examined.classes, counts),
    ]
    image_size = getattr(dataset, "image_size", None)
    return DataReport(dataset.name, examined, image_size, counts, equal, near, notices)


def count_images(entries: Sequence[Entry], num_classes: int) -> dict[str, list[int]]:
    """Returns the number of images of each split by class."""
    labels: dict[str, Counter[int]] = {}
    for entry in entries:
        labels.setdefault(entry.split, Counter())[entry.label] += 1
    order = sorted(labels, key=("train", "val", "test").index)
    return {split: [labels[split][label] for label in range(num_classes)] for split in order}


def summarize_sizes(report: DataReport) -> Sizes | None:
    """Returns the sizes of the images; None if none could be read."""
    sizes = [entry.size for entry in report.examined.entries if entry.size is not None]
    if not sizes:
        return None
    side, by_area = report.image_size, sorted(sizes, key=lambda size: size[0] * size[1])
    return Sizes(
        by_area[0],
        (int(median(width for width, _ in sizes)), int(median(height for _, height in sizes))),
        by_area[-1],
        len(set(sizes)),
        0 if side is None else sum(min(size) < side for size in sizes),
    )
