"""The classes of the best trial: recall of each, and which ones are taken for one another."""

from __future__ import annotations

from html import escape

from sweeps.report.class_data import MISTAKES_HEAD, ConfusionMatrix, SplitClasses, recall_rows
from sweeps.report.tables import row_table


def classes_section(splits: list[SplitClasses]) -> str:
    """Returns the recall of every class, the confusion matrices and the most frequent mistakes."""
    head, rows = recall_rows(splits)
    parts = [row_table(head, rows)] if rows else []
    drawn_by_script = 0
    for split in splits:
        parts.append(f"<h3>{split.matrix_title}</h3>")
        matrix = split.matrix
        if matrix is None:
            parts.append(f'<p class="missing">{split.missing_matrix}</p>')
        else:
            parts.append("<p>A row is a class, a column what its images were classified as.</p>")
            if matrix.has_numbers:
                parts.append(_matrix_table(matrix))
            else:
                parts.append(_script_place(drawn_by_script))
                drawn_by_script += 1
        if split.mistakes:
            parts.append(f"<h3>{split.mistakes_title}</h3>")
            parts.append(row_table(MISTAKES_HEAD, split.mistakes))
    return "".join(parts)


def _script_place(number: int) -> str:
    """Returns where the script draws a matrix of many classes, by its number in the data."""
    place = f'<div class="matrix js" data-matrix="{number}"></div>'
    return f"{place}<noscript><p>This matrix needs JavaScript.</p></noscript>"


def _matrix_table(matrix: ConfusionMatrix) -> str:
    """Returns a table with numbers of images, shaded by their share of the class."""
    titles, names = (list(map(escape, texts)) for texts in (matrix.names, matrix.short_names))
    lines = []
    for label, row in enumerate(matrix.counts):
        cells = "".join(
            f'<td style="--share:{matrix.shares[label][prediction]:.3f}" '
            f'title="{escape(matrix.describe(label, prediction))}"{_hit(label == prediction)}>'
            f"{count or ''}</td>"
            for prediction, count in enumerate(row)
        )
        head = f'<th scope="row" title="{titles[label]}">{names[label]}</th>'
        lines.append(f"<tr>{head}{cells}</tr>")
    columns = "".join(
        f'<th scope="col" title="{title}"><span>{name}</span></th>'
        for title, name in zip(titles, names, strict=True)
    )
    return (
        '<div class="scroll"><table class="confusion"><thead><tr><td></td>'
        f"{columns}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _hit(is_hit: bool) -> str:
    return ' class="hit"' if is_hit else ""
