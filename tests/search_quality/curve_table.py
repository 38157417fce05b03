"""The learning curves of `digits_curves.csv`: how they are made of a sweep, and how they are read.

One line a trial, in order of creation: the values of the space, then val_acc by epoch. A training
that diverged ended there; the rest of its line is empty.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from pathlib import Path

from sweeps.results.loaded_sweep import load

TABLE = Path(__file__).with_name("digits_curves.csv")
EPOCHS = 27
DIGITS = 4
"""Precision of a value in the table."""


@dataclass(frozen=True)
class Curve:
    """One configuration, trained to its end."""

    values: dict[str, float]
    accuracies: list[float]
    """val_acc by epoch, from epoch 1 on."""


def read_table(path: Path = TABLE) -> list[Curve]:
    with path.open(newline="", encoding="utf-8") as file:
        head, *lines = csv.reader(file)
    keys = head[:-EPOCHS]
    return [
        Curve(
            dict(zip(keys, map(float, line), strict=False)),
            [float(text) for text in line[len(keys) :] if text],
        )
        for line in lines
    ]


def write_table(sweep_directory: Path, path: Path = TABLE) -> None:
    sweep = load(sweep_directory)
    trials = sorted(sweep.results, key=lambda result: result.record.number)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*sweep.sampled_keys, *range(1, EPOCHS + 1)])
        for trial in trials:
            curve = [round(row["val_acc"], DIGITS) for row in trial.rows]
            values = [f"{trial.record.values[key]:.{DIGITS}g}" for key in sweep.sampled_keys]
            writer.writerow([*values, *curve, *[""] * (EPOCHS - len(curve))])


if __name__ == "__main__":
    write_table(Path(sys.argv[1]))
