"""The classes of the best trial: recall of each, and which ones are taken for one another."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go

from sweeps.report.curve_charts import Chart
from sweeps.report.tables import row_table
from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.terminal.formatting import format_value
from sweeps.terminal.tables import shorten
from trainable.artifacts.class_metrics import CONFUSIONS, MATRIX, RECALL, read_class_metrics
from trainable.artifacts.names import CLASSES_FILE, CONFIG_FILE
from trainable.config.yaml_reader import parse_yaml
from trainable.experiment.console import to_printable

MAX_NUMBERS = 30
"""Classes up to which a matrix shows the numbers of images."""
MAX_TICK = 24
"""Columns of a class's name beside a matrix; the mouse over a cell shows it whole."""
SPLIT_NAMES = {"val": "validation images", "test": "test images"}
PIXELS_PER_CLASS, MARGIN = 34, 160
MAX_HEIGHT = 900


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


def read_splits(sweep: LoadedSweep) -> list[SplitClasses]:
    """Reads what the best trial has measured at its best epoch, and then on the test set."""
    best = sweep.best
    if best is None or best.best is None:
        return []
    config = best.config_text()
    dataset = parse_yaml(config, CONFIG_FILE).data["dataset"] if config else {}
    splits = []
    for name in SPLIT_NAMES:
        row = read_class_metrics(best.directory / CLASSES_FILE, best.best["epoch"], name)
        if row is not None:
            names = list(dataset.get("classes") or ())
            splits.append(SplitClasses(name, row.pop("epoch"), row, names))
    if len(splits) == 2 and splits[0].metrics == splits[1].metrics:
        return splits[1:]  # there are no validation images
    return splits


def classes_table(splits: list[SplitClasses]) -> str:
    """Returns the recall of every class, the worst class first, and the most frequent mistakes."""
    with_recall = [split for split in splits if RECALL in split.metrics]
    parts = []
    if with_recall:
        head = ["class", *(f"recall, {SPLIT_NAMES[split.name]}" for split in with_recall)]
        recalls = [split.metrics[RECALL] for split in with_recall]
        order = sorted(
            range(len(recalls[0])),
            key=lambda label: 2.0 if recalls[0][label] is None else recalls[0][label],
        )
        rows = [
            [with_recall[0].label(label), *(_format_recall(recall[label]) for recall in recalls)]
            for label in order
        ]
        parts.append(row_table(head, rows))
    for split in splits:
        if CONFUSIONS in split.metrics:
            parts.append(f"<p>Most frequent mistakes, {SPLIT_NAMES[split.name]}:</p>")
            parts.append(
                row_table(
                    ["class", "classified as", "images"],
                    [[split.label(y), split.label(p), n] for y, p, n in split.metrics[CONFUSIONS]],
                )
            )
    return "".join(parts)


def matrix_chart(split: SplitClasses) -> Chart:
    """Draws the confusion matrix of a split: the share of every class, with numbers of images."""
    matrix: list[list[int]] = split.metrics.get(MATRIX) or []
    title = f"Confusion matrix, {SPLIT_NAMES[split.name]}"
    note = f"{title}, after epoch {split.epoch}"
    if not matrix:
        missing = "the matrix is not kept: too many classes, or metrics has no confusion_matrix"
        return Chart(title, note, missing=missing)
    names = [split.label(index) for index in range(len(matrix))]
    # Plotly takes tags in a text for markup.
    labels = [escape(name, quote=False) for name in names]
    ticks = [escape(shorten(name, MAX_TICK, "..."), quote=False) for name in names]
    shares = [[count / max(sum(row), 1) for count in row] for row in matrix]
    positions = list(range(len(labels)))
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=positions,
            y=positions,
            text=[[str(count or "") for count in row] for row in matrix],
            texttemplate="%{text}" if len(labels) <= MAX_NUMBERS else None,
            customdata=[[[labels[y], labels[p]] for p in positions] for y in positions],
            hovertemplate="%{customdata[0]} as %{customdata[1]}: %{text} images, %{z:.1%}"
            "<extra></extra>",
            colorscale="Blues",
            zmin=0,
            zmax=1,
        )
    )
    axis = {"tickvals": positions, "ticktext": ticks} if len(labels) <= MAX_NUMBERS else {}
    figure.update_xaxes(title="classified as", **axis)
    figure.update_yaxes(title="class", autorange="reversed", **axis)
    height = min(MARGIN + PIXELS_PER_CLASS * len(labels), MAX_HEIGHT)
    return Chart(title, note, figure.update_layout(height=height))


def _format_recall(recall: float | None) -> str:
    return "no images" if recall is None else format_value(recall)
