"""The metrics of a trial for each class: recall, and which classes it takes for one another.

Loads neither Plotly nor Optuna.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from sweeps.results.trial_results import TrialResult
from sweeps.terminal.formatting import format_value
from trainable.artifacts.class_metrics import MATRIX, RECALL, read_class_metrics
from trainable.artifacts.names import CLASSES_FILE, CONFIG_FILE
from trainable.config.yaml_reader import parse_yaml
from trainable.experiment.console import to_printable

MAX_NUMBERS = 30
"""Classes up to which a matrix shows the numbers of images."""
MAX_TICK = 24
"""Columns of a class's name beside a matrix; the mouse over a cell shows it whole."""
PIXELS_PER_CLASS, MAX_HEIGHT = 34, 900
"""Height of a row of a matrix, and the largest one of a matrix."""
SPLIT_NAMES = {"val": "validation images", "test": "test images"}


class _Columns(BaseModel):
    """The columns of a split as `trainable.artifacts.class_metrics` describes them."""

    recall_per_class: list[float | None] = []
    confusion_matrix: list[list[float]] = []
    confusions: list[Annotated[list[int], Field(min_length=3, max_length=3)]] = []


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


def worst_first(splits: list[SplitClasses]) -> list[int]:
    """Returns the labels of the classes, that with the lowest recall of the first split first."""
    with_recall = [split.metrics[RECALL] for split in splits if RECALL in split.metrics]
    recalls = with_recall[0] if with_recall else []
    return sorted(
        range(len(recalls)),
        key=lambda label: 2.0 if recalls[label] is None else recalls[label],
    )


def format_recall(recall: float | None) -> str:
    """Returns the recall of a class as text."""
    return "no images" if recall is None else format_value(recall)
