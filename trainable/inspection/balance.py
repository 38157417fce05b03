"""Lines on the number of images of each class: an imbalance, too few to validate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from trainable.config import TrainConfig
from trainable.errors import list_first

IMBALANCE = 10
"""Ratio of the largest class to the smallest one beyond which it is said."""
MIN_VALIDATED = 10
"""Validation images of a class below which it is said."""

MAX_LISTED_CLASSES = 5


def describe_balance(
    config: TrainConfig, classes: Sequence[str], counts: Mapping[str, Sequence[int]]
) -> Iterator[str]:
    """Yields lines on class imbalance and on classes with few validation images.

    Args:
        config: The config; what it does about an imbalance already is not advised.
        classes: Names of the classes, in label order.
        counts: Split -> number of images of each class.
    """
    train = counts.get("train", ())
    if train and min(train) and max(train) > IMBALANCE * min(train):
        most, least = (classes[list(train).index(end(train))] for end in (max, min))
        advice = "; ".join(_advise(config))
        yield (
            f"class imbalance of {max(train) / min(train):.0f} to 1: {most} has {max(train)} "
            f"training images, {least} {min(train)}" + (f"; {advice}" if advice else "")
        )
    split = "val" if "val" in counts else "test"
    few = [name for name, count in zip(classes, counts.get(split, ()), strict=False)
           if count < MIN_VALIDATED]  # fmt: skip
    if few and split in counts:
        total = sum(counts[split])
        names = list_first(few, MAX_LISTED_CLASSES)
        yield (
            f"fewer than {MIN_VALIDATED} {split} images of {names}: {split}_acc moves in steps of "
            f"{1 / total:.1%} in all, and the accuracy of such a class in steps of "
            f"{1 / max(1, min(counts[split])):.0%}"
        )


def _advise(config: TrainConfig) -> Iterator[str]:
    weighs = getattr(config.loss, "weight", None) is not None
    if not weighs and config.training.sampler != "balanced":
        yield "loss.weight: balanced, or training.sampler: balanced, makes classes count equally"
    if "balanced_accuracy" not in config.metrics:
        yield "metrics: [balanced_accuracy] shows it in the score"
