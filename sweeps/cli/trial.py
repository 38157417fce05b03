"""Verbs that look at single trials: show, logs and compare."""

from __future__ import annotations

import codecs
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from sweeps.cli.options import AS_JSON, DIRECTORY, FINISHED, exits
from sweeps.report.text_charts import Series, chart
from sweeps.results.loaded_sweep import (
    LoadedSweep,
    best_checkpoint_epoch,
    current_state,
    find_record,
    load_trials,
)
from sweeps.results.trial_results import TrialResult
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import ENDED, TrialRecord
from sweeps.terminal.console import console, print_json, print_line, print_table
from sweeps.terminal.formatting import (
    format_metric,
    format_size,
    format_value,
    make_table,
    quote_path,
)
from trainable.artifacts.names import LOG_FILE
from trainable.config.dotted import flatten
from trainable.config.yaml_reader import read_yaml

TRIAL = click.argument("trial")
ROWS = 12
"""Epochs that a table shows at most."""
FOLLOW_S = 0.5
SHOWN_METRICS = ("epoch", "train_loss", "train_acc", "val_loss", "val_acc", "lr", "epoch_s")
PLACES = {"checkpoint.dir", "checkpoint.experiment_name", "tensorboard.log_dir", "dataset.root"}
"""Keys of a config that say where, and nothing of what is computed."""


@click.command("show")
@DIRECTORY
@TRIAL
@AS_JSON
@exits
def show_(directory: Path, trial: str, as_json: bool) -> int:
    """Shows all that is known of TRIAL of the sweep in DIRECTORY.

    TRIAL is the beginning of its id, as long as no other trial's begins the same.

    Example: sweep show experiments/digits_asha 01bc
    """
    sweep, (found,) = load_trials(directory, [trial])
    if as_json:
        print_json(_shown(sweep, found))
        return FINISHED
    record = found.record
    print_line(f"trial {record.id}, number {record.number}: {record.state}")
    print_line(f"  {quote_path(found.directory)}")
    times = {"created": record.created, "started": record.started, "ended": record.ended}
    print_line(
        "  " + ", ".join(f"{name} {time}" for name, time in times.items() if time is not None)
    )
    for key, value in record.current.items():
        print_line(f"  {key}: {format_value(value)}")
    for key, value in record.changes.items():
        print_line(f"  {key}: {format_value(value)} (changed by the sweep)")
    for step in record.lineage:
        donor = step["donor"].rpartition("_")[2]  # of its directory's name, the id
        print_line(f"  took over {donor} after epoch {step['epoch']}")
    for failure in record.failures:
        print_line(f"  failed after epoch {failure.epoch}: {failure.cause}: {failure.message}")
    if found.rows:
        print_table(_rows_table(found.rows))
        if found.best is not None:
            value = format_metric(found.best, sweep.metric)
            print_line(f"best: {sweep.metric} {value} at epoch {found.best['epoch']}")
    for path in _checkpoints(found.directory):
        epoch = f", epoch {best_checkpoint_epoch(found)}" if path.name == "best.pt" else ""
        print_line(f"  {quote_path(path)}  {format_size(path.stat().st_size)}{epoch}")
    return FINISHED


def _shown(sweep: LoadedSweep, found: TrialResult) -> dict[str, Any]:
    config = found.directory / "config.yaml"
    return {
        **vars(found.record),
        "failures": [vars(failure) for failure in found.record.failures],
        "values": found.record.current,
        "metric": sweep.metric,
        "best": found.best,
        "rows": found.rows,
        "config": read_yaml(config).data if config.exists() else None,
        "directory": str(found.directory),
        "checkpoints": [str(path) for path in _checkpoints(found.directory)],
        "checkpoint": None if found.checkpoint is None else str(found.checkpoint),
    }


def _checkpoints(directory: Path) -> list[Path]:
    return sorted((directory / "checkpoints").glob("*.pt"))


def _rows_table(rows: list[dict[str, Any]]) -> Table:
    drawn = make_table(*SHOWN_METRICS)
    for row in _some(rows):
        drawn.add_row(*(format_value(row.get(name)) for name in SHOWN_METRICS))
    if len(rows) > ROWS:
        drawn.caption = f"{ROWS} of {len(rows)} epochs; all of them: --json"
    return drawn


def _some(rows: list[Any]) -> list[Any]:
    """At most `ROWS` of the rows, the first and the last among them, evenly between."""
    if len(rows) <= ROWS:
        return rows
    return [rows[round(index * (len(rows) - 1) / (ROWS - 1))] for index in range(ROWS)]


@click.command()
@DIRECTORY
@TRIAL
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written, until it ends.")
@exits
def logs(directory: Path, trial: str, follow: bool) -> int:
    """Prints the log of TRIAL: its epochs, what its model printed, and why it failed.

    Example: sweep logs experiments/digits_asha 01bc -f
    """
    record = find_record(directory, trial)
    path = directory / record.directory / LOG_FILE
    if not follow and not path.exists() and not record.failures:
        raise SweepError(f"{path}: trial {record.id} ({record.state}) has written no log")
    try:
        told = ""
        for text in _written(directory, record, path, follow=follow):
            console.out(text, end="", highlight=False)
            told += text
    except KeyboardInterrupt:
        return FINISHED
    for failure in SweepLayout(directory).read_trial(record.directory).failures:
        print_line(f"--- failed after epoch {failure.epoch}, {failure.time}: {failure.cause}")
        in_log = bool(failure.message) and failure.message in told
        print_line(failure.message if in_log else failure.traceback.rstrip() or failure.message)
    return FINISHED


def _written(directory: Path, record: TrialRecord, path: Path, *, follow: bool) -> Iterator[str]:
    """What a log has and, if wanted, what it gets until nothing more can come."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    position = 0
    while True:
        over = not follow or _is_over(directory, record)
        if path.exists():
            if path.stat().st_size < position:
                position = 0  # begun anew
            with path.open("rb") as file:
                file.seek(position)
                data = file.read()
            position += len(data)
            yield decoder.decode(data)
        if over or console.quiet:
            return
        time.sleep(FOLLOW_S)


def _is_over(directory: Path, record: TrialRecord) -> bool:
    """Whether the trial has ended, or nobody runs the sweep."""
    layout = SweepLayout(directory)
    if current_state(directory, layout.read_sweep()) != "running":
        return True
    return layout.read_trial(record.directory).state in ENDED


@click.command()
@DIRECTORY
@click.argument("first")
@click.argument("second")
@AS_JSON
@exits
def compare(directory: Path, first: str, second: str, as_json: bool) -> int:
    """Compares two trials of the sweep in DIRECTORY: what differs in their configs and curves.

    FIRST and SECOND are beginnings of their ids.

    Example: sweep compare experiments/digits_asha 01bc 45bd
    """
    sweep, (left, right) = load_trials(directory, [first, second])
    differing = _differences(left, right)
    curves = _side_by_side(left, right, sweep.metric)
    if as_json:
        ids = [left.record.id, right.record.id]
        data = {"trials": ids, "config": differing, "metric": sweep.metric, "curves": curves}
        print_json(data)
        return FINISHED
    drawn = _pair_table("", left, right)
    for key, values in differing.items():
        drawn.add_row(key, *map(format_value, values))
    for name, row in (("best", "best"), ("last", "last")):
        pair = [getattr(result, row) for result in (left, right)]
        drawn.add_row(
            f"{name} {sweep.metric}", *(format_metric(found, sweep.metric) for found in pair)
        )
    drawn.add_row("state", left.record.state, right.record.state)
    print_table(drawn)
    _show_curves(sweep, left, right, curves)
    return FINISHED


def _pair_table(head: str, left: TrialResult, right: TrialResult) -> Table:
    return make_table(head, left.record.id, right.record.id)


def _differences(left: TrialResult, right: TrialResult) -> dict[str, list[Any]]:
    """Dotted key of the config -> its two values, where they differ."""
    first, second = _flat_config(left), _flat_config(right)
    return {
        key: [first.get(key), second.get(key)]
        for key in dict.fromkeys([*first, *second])
        if first.get(key) != second.get(key) and key not in PLACES
    }


def _flat_config(result: TrialResult) -> dict[str, Any]:
    """A trial's config by dotted key; of one that has not started, its sampled values."""
    path = result.directory / "config.yaml"
    if not path.exists():
        return dict(result.record.current)
    return flatten(read_yaml(path).data)


def _side_by_side(left: TrialResult, right: TrialResult, metric: str) -> list[list[Any]]:
    """`[epoch, first's metric, second's]` for every epoch that one of them has."""
    first, second = ({row["epoch"]: row.get(metric) for row in r.rows} for r in (left, right))
    return [[e, first.get(e), second.get(e)] for e in sorted({*first, *second})]


def _show_curves(
    sweep: LoadedSweep, left: TrialResult, right: TrialResult, curves: list[list[Any]]
) -> None:
    rows = _pair_table(f"{sweep.metric} at epoch", left, right)
    for epoch, first, second in _some(curves):
        rows.add_row(str(epoch), format_value(first), format_value(second))
    print_table(rows)
    points = [[(row[0], row[side]) for row in curves if row[side] is not None] for side in (1, 2)]
    drawn = chart(
        [Series("1", points[0]), Series("2", points[1])],
        width=min(console.width, 80),
        height=12,
        x_label="epoch",
    )
    for line in drawn:
        print_line(line)
    if drawn:
        print_line(f"1: {left.record.id}, 2: {right.record.id}, {sweep.metric}")
