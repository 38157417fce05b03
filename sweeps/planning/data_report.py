"""Shows a report on the data set of a config: a table of counts, and lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.table import Table

from sweeps.planning.plan import draw_of_trial
from sweeps.spec.load import load_search
from sweeps.spec.overrides import parse_assignments
from sweeps.spec.search_spec import SearchSpec
from sweeps.terminal.formatting import make_table
from trainable.config import TrainConfig, parse_config
from trainable.config.override import override
from trainable.config.yaml_reader import read_yaml
from trainable.inspection.report import DataReport, Sizes, summarize_sizes

SEARCH_KEYS = ("config", "space", "tune")
"""Sections that a search file has and a training config has not."""
MAX_CLASSES_SHOWN = 30
"""Classes in the table; of more, the largest and the smallest ones."""


def load_training_config(path: Path, assignments: Sequence[str], number: int) -> TrainConfig:
    """Reads a training config, or the one of a draw of a search file.

    Args:
        path: The file.
        assignments: Texts `KEY=VALUE` that change its keys.
        number: Number of the draw, which matters where keys of `dataset` are swept.

    Raises:
        ConfigError: The file has problems; all of them are listed.
        SweepError: There is no such draw.
    """
    document = read_yaml(path)
    if isinstance(document.data, Mapping) and any(key in document.data for key in SEARCH_KEYS):
        spec = load_search(path, parse_assignments(assignments, SearchSpec))
        if not any(key.partition(".")[0] == "dataset" for key in spec.space):
            return spec.training
        values, _ = draw_of_trial(spec, number)
        return spec.trial_config(values, number)
    changes = parse_assignments(assignments, TrainConfig)
    if changes and isinstance(document.data, Mapping):
        document = replace(document, data=override(document.data, changes))
    return parse_config(document)


def make_counts_table(report: DataReport) -> Table:
    """Returns a table with the number of images of each class and split."""
    classes, counts = report.examined.classes, report.counts
    table = make_table("class", *counts, "images")
    totals = [sum(of_class) for of_class in zip(*counts.values(), strict=True)]
    shown = list(range(len(classes)))
    if len(classes) > MAX_CLASSES_SHOWN:
        by_size = sorted(shown, key=lambda label: (-totals[label], label))
        half = MAX_CLASSES_SHOWN // 2
        shown = [*by_size[:half], *by_size[-half:]]
        left = len(classes) - len(shown)
        table.caption = f"the largest and the smallest classes; {left} others are in --json"
    for label in shown:
        numbers = [str(of_split[label]) for of_split in counts.values()]
        table.add_row(classes[label], *numbers, str(totals[label]))
    sums = [str(sum(of_split)) for of_split in counts.values()]
    table.add_section()
    table.add_row("all", *sums, str(sum(totals)))
    return table


def describe_report(report: DataReport) -> Iterator[str]:
    """Yields the lines below the table: sizes, modes, and what should be looked at."""
    sizes = summarize_sizes(report)
    if sizes is not None:
        yield f"sizes: {_describe_sizes(sizes, report.image_size)}"
    modes = Counter(entry.mode for entry in report.examined.entries if entry.mode)
    yield f"modes: {_describe_counts(modes)}"
    if report.examined.formats:
        yield f"files: {_describe_counts(report.examined.formats)}"
    yield from report.notices


def _describe_sizes(sizes: Sizes, image_size: int | None) -> str:
    smallest, middle, largest = (
        f"{width}x{height}" for width, height in (sizes.smallest, sizes.median, sizes.largest)
    )
    if sizes.different == 1:
        text = smallest
    else:
        text = (
            f"{smallest} to {largest} (width x height), median {middle}, {sizes.different} "
            "different"
        )
    if sizes.enlarged:
        text += (
            f"; {sizes.enlarged} are smaller than dataset.image_size {image_size} and are enlarged"
        )
    return text


def _describe_counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name or 'without extension'}" for name, count in ordered)
