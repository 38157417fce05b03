"""The classes of the best trial: recall of each, and which ones are taken for one another."""

from __future__ import annotations

from html import escape

from sweeps.report.class_data import (
    MAX_NUMBERS,
    MAX_TICK,
    SPLIT_NAMES,
    SplitClasses,
    format_recall,
    worst_first,
)
from sweeps.report.tables import row_table
from sweeps.terminal.tables import shorten
from trainable.artifacts.class_metrics import CONFUSIONS, MATRIX, RECALL

MISSING_MATRIX = (
    "The matrix is not kept: too many classes, or <code>metrics</code> has no "
    "<code>confusion_matrix</code>."
)


def classes_section(splits: list[SplitClasses]) -> str:
    """Returns the recall of every class, the confusion matrices and the most frequent mistakes."""
    parts = [_recall_table(splits)]
    large = [split for split in splits if len(_matrix(split)) > MAX_NUMBERS]
    for split in splits:
        parts.append(_render_matrix(split, large))
        if CONFUSIONS in split.metrics:
            rows = [[split.label(y), split.label(p), n] for y, p, n in split.metrics[CONFUSIONS]]
            parts.append(f"<h3>Most frequent mistakes, {SPLIT_NAMES[split.name]}</h3>")
            parts.append(row_table(["class", "classified as", "images"], rows))
    return "".join(parts)


def _recall_table(splits: list[SplitClasses]) -> str:
    """Returns the recall of every class, the worst class first; empty if there is none."""
    with_recall = [split for split in splits if RECALL in split.metrics]
    if not with_recall:
        return ""
    head = ["class", *(f"recall, {SPLIT_NAMES[split.name]}" for split in with_recall)]
    recalls = [split.metrics[RECALL] for split in with_recall]
    rows = [
        [with_recall[0].label(label), *(format_recall(recall[label]) for recall in recalls)]
        for label in worst_first(splits)
    ]
    return row_table(head, rows)


def _matrix(split: SplitClasses) -> list[list[int]]:
    return split.metrics.get(MATRIX) or []


def _render_matrix(split: SplitClasses, large: list[SplitClasses]) -> str:
    """Returns a confusion matrix; one of many classes is drawn by the script."""
    title = f"<h3>Confusion matrix, {SPLIT_NAMES[split.name]}, after epoch {split.epoch}</h3>"
    matrix = _matrix(split)
    if not matrix:
        return f'{title}<p class="missing">{MISSING_MATRIX}</p>'
    note = "<p>A row is a class, a column what its images were classified as.</p>"
    if split in large:
        number = large.index(split)
        place = f'<div class="matrix js" data-matrix="{number}"></div>'
        return f"{title}{note}{place}<noscript><p>This matrix needs JavaScript.</p></noscript>"
    return title + note + _matrix_table(split, matrix)


def _matrix_table(split: SplitClasses, matrix: list[list[int]]) -> str:
    """Returns a table with numbers of images, shaded by their share of the class."""
    names = [split.label(index) for index in range(len(matrix))]
    heads = "".join(
        f'<th scope="col" title="{escape(name)}"><span>{_short(name)}</span></th>'
        for name in names
    )
    lines = []
    for label, row in enumerate(matrix):
        total = max(sum(row), 1)
        cells = "".join(
            f'<td style="--share:{count / total:.3f}" '
            f'title="{escape(names[label])} as {escape(names[prediction])}: {count} images, '
            f'{count / total:.1%}"{_hit(label == prediction)}>{count or ""}</td>'
            for prediction, count in enumerate(row)
        )
        head = f'<th scope="row" title="{escape(names[label])}">{_short(names[label])}</th>'
        lines.append(f"<tr>{head}{cells}</tr>")
    return (
        '<div class="scroll"><table class="confusion"><thead><tr><td></td>'
        f"{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _short(name: str) -> str:
    return escape(shorten(name, MAX_TICK, "..."))


def _hit(is_hit: bool) -> str:
    return ' class="hit"' if is_hit else ""
