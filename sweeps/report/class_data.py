"""The metrics of a trial for each class: recall, and which classes it takes for one another.

Loads neither Plotly nor Optuna.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from sweeps.results.trial_results import TrialResult
from sweeps.terminal.formatting import count_of, format_value
from sweeps.terminal.tables import shorten
from trainable.artifacts.class_metrics import (
    CONFUSIONS,
    MATRIX,
    MAX_MATRIX_CLASSES,
    MAX_NUMBERED_CLASSES,
    RECALL,
    read_class_metrics,
)
from trainable.artifacts.names import CLASSES_FILE, CONFIG_FILE
from trainable.config.yaml_reader import parse_yaml
from trainable.experiment.console import to_printable

MAX_TICK = 24
"""Columns of a class's name beside a matrix; the mouse over a cell shows it whole."""
SPLIT_NAMES = {"val": "validation images", "test": "test images"}
MISTAKES_HEAD = ["class", "classified as", "images"]


class _Columns(BaseModel):
    """The columns of a split as `trainable.artifacts.class_metrics` describes them."""

    recall_per_class: list[float | None] = []
    confusion_matrix: list[list[float]] = []
    confusions: list[Annotated[list[int], Field(min_length=3, max_length=3)]] = []


@dataclass(frozen=True)
class ConfusionMatrix:
    """A confusion matrix as the report and the pages of `sweep ui` show it."""

    counts: list[list[int]]
    """`[C][C]`; row y, column p is the number of images of class y that were classified as p."""
    names: list[str]
    """Names of the classes by label."""

    @property
    def has_numbers(self) -> bool:
        """Whether the cells show numbers of images; those of many classes are too small."""
        return len(self.counts) <= MAX_NUMBERED_CLASSES

    @property
    def short_names(self) -> list[str]:
        """The names beside the rows and columns."""
        return [shorten(name, MAX_TICK, "...") for name in self.names]

    @cached_property
    def shares(self) -> list[list[float]]:
        """The cells as shares of a class's images, `[C][C]`; 0 for a class without images."""
        totals = [max(sum(row), 1) for row in self.counts]
        return [
            [count / total for count in row]
            for row, total in zip(self.counts, totals, strict=True)
        ]

    def describe(self, label: int, prediction: int) -> str:
        """Returns the text of a cell: `cat as dog: 3 images, 25.0%`."""
        count = self.counts[label][prediction]
        share = self.shares[label][prediction]
        names = f"{self.names[label]} as {self.names[prediction]}"
        return f"{names}: {count_of(count, 'image')}, {share:.1%}"


@dataclass(frozen=True)
class SplitClasses:
    """The metrics of a trial for the classes of one split."""

    name: str
    """`val` or `test`."""
    epoch: int
    metrics: dict[str, Any]
    """`recall_per_class`, `confusion_matrix` and `confusions`, those that there are."""
    class_names: list[str]
    """Names by label; numbers stand for those that are not known."""

    def label(self, index: int) -> str:
        """Returns the name of a class on one line."""
        is_known = index < len(self.class_names)
        return to_printable(str(self.class_names[index])) if is_known else str(index)

    @cached_property
    def matrix(self) -> ConfusionMatrix | None:
        """The confusion matrix; None if there is none, see `missing_matrix`."""
        counts = self.metrics.get(MATRIX)
        names = [self.label(index) for index in range(len(counts or ()))]
        return ConfusionMatrix(counts, names) if counts else None

    @property
    def matrix_title(self) -> str:
        """The heading of the confusion matrix."""
        return f"Confusion matrix, {SPLIT_NAMES[self.name]}, after epoch {self.epoch}"

    @property
    def missing_matrix(self) -> str:
        """The reason why there is no matrix."""
        if CONFUSIONS in self.metrics:
            return f"The matrix of more than {MAX_MATRIX_CLASSES} classes is not kept."
        return "The training config has no confusion_matrix in its metrics."

    @property
    def mistakes_title(self) -> str:
        """The heading of `mistakes`."""
        return f"Most frequent mistakes, {SPLIT_NAMES[self.name]}"

    @property
    def mistakes(self) -> list[list[Any]]:
        """Rows of a table with `MISTAKES_HEAD`, which many classes have in place of a matrix."""
        return [[self.label(y), self.label(p), n] for y, p, n in self.metrics.get(CONFUSIONS, [])]


def read_splits(result: TrialResult | None) -> list[SplitClasses]:
    """Reads what a trial has measured at its best epoch, and then on the test set.

    Splits whose columns are damaged, or have another number of classes than the first one, are
    left out.

    Args:
        result: The trial; None has no splits, nor has a trial without a best epoch.
    """
    if result is None or result.best is None:
        return []
    config = result.config_text()
    dataset = parse_yaml(config, CONFIG_FILE).data["dataset"] if config else {}
    splits: list[SplitClasses] = []
    for name in SPLIT_NAMES:
        row = read_class_metrics(result.directory / CLASSES_FILE, result.best["epoch"], name)
        if row is not None and _is_whole(row, splits):
            names = list(dataset.get("classes") or ())
            splits.append(SplitClasses(name, row.pop("epoch"), row, names))
    if len(splits) == 2 and splits[0].metrics == splits[1].metrics:
        return splits[1:]  # there are no validation images
    return splits


def _is_whole(columns: dict[str, Any], splits: list[SplitClasses]) -> bool:
    """Returns whether the columns of a split fit to each other and to those of other splits."""
    try:
        _Columns.model_validate(columns, strict=True)
    except ValidationError:
        return False
    matrix = columns.get(MATRIX, [])
    counts = {len(row) for row in [matrix, *matrix] if matrix}
    recalls = [columns, *(split.metrics for split in splits)]
    counts |= {len(metrics[RECALL]) for metrics in recalls if RECALL in metrics}
    return len(counts) <= 1


def recall_rows(splits: list[SplitClasses]) -> tuple[list[str], list[list[str]]]:
    """Returns a table of the recall of every class, the lowest of the first split first.

    Returns:
        (its heading, its rows); no rows if no recall was measured.
    """
    with_recall = [split for split in splits if RECALL in split.metrics]
    head = ["class", *(f"recall, {SPLIT_NAMES[split.name]}" for split in with_recall)]
    recalls = [split.metrics[RECALL] for split in with_recall]
    first = recalls[0] if recalls else []
    labels = sorted(range(len(first)), key=lambda y: 2.0 if first[y] is None else first[y])
    return head, [
        [with_recall[0].label(label), *(format_recall(recall[label]) for recall in recalls)]
        for label in labels
    ]


def format_recall(recall: float | None) -> str:
    """Returns the recall of a class as text."""
    return "no images" if recall is None else format_value(recall)
