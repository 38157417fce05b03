"""A picture of samples of a data set, with the names of their classes."""

from __future__ import annotations

from pathlib import Path

from trainable.atomic_files import write_once
from trainable.inspection.entries import Examined
from trainable.inspection.picture import Cell, draw_grid
from trainable.inspection.report import DataReport

MAX_ROWS = 32
"""Classes that are drawn; of more, some that are spread evenly."""


def write_samples(report: DataReport, path: Path, *, images: int) -> int:
    """Writes a PNG file with a row of images for each class.

    The images of a class are spread evenly over its list, in all splits. They are whole, upright
    and in the colours that a model gets.

    Args:
        report: The report on the data set.
        path: The file; one that exists is replaced.
        images: Images of a class, at most those that it has.

    Returns:
        The number of classes that are drawn.

    Raises:
        OSError: The file cannot be written.
    """
    examined = report.examined
    positions: dict[int, list[int]] = {}
    for position in examined.kept:
        positions.setdefault(examined.entries[position].label, []).append(position)
    shown = _spread(sorted(positions), MAX_ROWS)
    rows = [
        [
            Cell(examined.open_image(position), _describe(examined, position))
            for position in _spread(positions[label], images)
        ]
        for label in shown
    ]
    picture = draw_grid(rows)
    write_once([path], lambda file: picture.save(file, format="PNG"))
    return len(shown)


def _describe(examined: Examined, position: int) -> list[str]:
    entry = examined.entries[position]
    name = entry.name.rpartition("/")[2]
    place = name if name.startswith(f"{entry.split} ") else f"{entry.split}: {name}"
    return [examined.classes[entry.label], place]


def _spread(values: list[int], count: int) -> list[int]:
    """Returns at most `count` values, spread evenly over the list."""
    if len(values) <= count:
        return values
    return [values[number * len(values) // count] for number in range(count)]
