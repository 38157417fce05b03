"""Commands that show single trials: show, logs and compare."""

from __future__ import annotations

import codecs
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from sweeps.cli.options import AS_JSON, DIRECTORY, FINISHED, TRIAL, TRIAL_ID, exits, print_damage
from sweeps.report.comparison import config_differences, join_curves
from sweeps.report.text_charts import Series, draw_chart
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
from sweeps.sweep_dir.records import BY_HAND, ENDED, TrialRecord
from sweeps.terminal.commands import quote_word
from sweeps.terminal.console import (
    console,
    print_json,
    print_line,
    print_table,
    print_wrapped,
    table_width,
)
from sweeps.terminal.formatting import (
    format_metric,
    format_size,
    format_time,
    format_value,
    make_table,
)
from sweeps.terminal.tables import ShortenedText, fit_columns
from trainable.artifacts.metrics import more_scores
from trainable.artifacts.names import BEST_FILE, CHECKPOINTS, CONFIG_FILE, LOG_FILE
from trainable.config.sections.dataset import FOLD
from trainable.config.yaml_reader import parse_yaml

MAX_ROWS = 12
"""Epochs that a table shows."""
MAX_WIDTH, PLOT_HEIGHT = 80, 12
"""Columns and lines of the chart of `sweep compare`."""
FOLLOW_INTERVAL_S = 0.5
"""Seconds between two reads of a log that is followed."""
SHOWN_METRICS = ("epoch", "train_loss", "train_acc", "val_loss", "val_acc", "lr", "epoch_s")
BY_IMPORTANCE = ("val_acc", "val_loss", "train_loss", "train_acc", "lr", "epoch_s")
"""Metrics that a narrow terminal shows after the epoch, as many as fit."""


@click.command("show")
@DIRECTORY
@TRIAL
@AS_JSON
@exits
def show_(directory: Path, trial: str, as_json: bool) -> int:
    """Shows a trial: values, metrics, failures and files.

    TRIAL is the beginning of a trial's id in the sweep in DIRECTORY; it must match one trial only.

    Example: sweep show experiments/digits_asha 1b45
    """
    sweep, (result,) = load_trials(directory, [trial])
    print_damage(sweep, result)
    if as_json:
        print_json(_trial_values(sweep, result))
        return FINISHED
    record = result.record
    by = f" by {record.stop_text}: {record.stop_reason}" if record.ended_itself else ""
    by_hand = " by hand" if record.held or record.stopped_by == BY_HAND else ""
    print_line(f"trial {record.id}, number {record.number}: {record.state}{by}{by_hand}")
    print_line(f"  {quote_word(result.directory)}")
    times = {"created": record.created, "started": record.started, "ended": record.ended}
    moments = [f"{name} {format_time(when)}" for name, when in times.items() if when]
    print_wrapped("  " + ", ".join(moments))
    for key, value in record.current.items():
        print_line(f"  {key}: {format_value(value)}")
    for key, value in record.changes.items():
        if key != FOLD:  # among the values
            print_line(f"  {key}: {format_value(value)} (changed by the sweep)")
    _print_origin(record)
    for failure in record.failures:
        print_line(f"  failed after epoch {failure.epoch}: {failure.cause}: {failure.message}")
    if result.rows:
        print_table(_metrics_table(result.rows))
        _print_best(sweep, result)
    for path in _checkpoints(result.directory):
        epoch = f", epoch {best_checkpoint_epoch(result)}" if path.name == BEST_FILE else ""
        print_line(f"  {quote_word(path)}  {format_size(path.stat().st_size)}{epoch}")
    return FINISHED


def _print_origin(record: TrialRecord) -> None:
    """Prints where a trial's configuration and weights come from, if not from the searcher."""
    if record.added:
        print_line("  added by hand")
    if record.weights is not None:
        print_line(f"  started from {record.weights}")
    for step in record.lineage:
        donor_id = step["donor"].rpartition("_")[2]  # a directory's name ends with the trial's id
        print_line(f"  copied {donor_id} after epoch {step['epoch']}")


def _print_best(sweep: LoadedSweep, result: TrialResult) -> None:
    """Prints the best epoch, and its values where the trial has others now."""
    if result.best is None:
        return
    value = format_metric(result.best, sweep.metric)
    print_line(f"best: {sweep.metric} {value} at epoch {result.best['epoch']}")
    for key, used in result.values.items():
        if used != result.record.current.get(key):
            print_line(f"  trained with {key}: {format_value(used)}")
    last = result.rows[-1]
    print_line(
        f"last: {sweep.metric} {format_metric(last, sweep.metric)} at epoch {last['epoch']}"
    )


def _trial_values(sweep: LoadedSweep, result: TrialResult) -> dict[str, Any]:
    config = result.config_text()
    return {
        **vars(result.record),
        "failures": [vars(failure) for failure in result.record.failures],
        "weights": None if result.record.weights is None else vars(result.record.weights),
        "values": result.record.current,
        "metric": sweep.metric,
        "best": result.best,
        "rows": result.rows,
        "config": None if config is None else parse_yaml(config, CONFIG_FILE).data,
        "damage": sweep.damage,
        "directory": str(result.directory),
        "checkpoints": [str(path) for path in _checkpoints(result.directory)],
        "checkpoint": None if result.checkpoint is None else str(result.checkpoint),
    }


def _checkpoints(directory: Path) -> list[Path]:
    return sorted((directory / CHECKPOINTS).glob("*.pt"))


def _metrics_table(rows: list[dict[str, Any]]) -> Table:
    more = more_scores(rows[-1])
    by_importance = [BY_IMPORTANCE[0], *more, *BY_IMPORTANCE[1:]]
    position = SHOWN_METRICS.index("val_acc") + 1
    metrics = [*SHOWN_METRICS[:position], *more, *SHOWN_METRICS[position:]]

    def build(shown: int) -> Table:
        """Returns the table with this number of metrics."""
        hidden = by_importance[shown:]
        names = [name for name in metrics if name not in hidden]
        table = make_table(*names)
        for row in _subsample(rows):
            table.add_row(*(format_value(row.get(name)) for name in names))
        left_out = [f"{MAX_ROWS} of {len(rows)} epochs"] if len(rows) > MAX_ROWS else []
        left_out += [f"{len(names)} of {len(metrics)} columns"] if hidden else []
        table.caption = f"{', '.join(left_out)}; --json prints all" if left_out else None
        return table

    return fit_columns(build, len(by_importance), console, table_width())


def _subsample(rows: list[Any]) -> list[Any]:
    """Returns at most `MAX_ROWS` evenly spaced rows, with the first and the last one."""
    if len(rows) <= MAX_ROWS:
        return rows
    return [rows[round(index * (len(rows) - 1) / (MAX_ROWS - 1))] for index in range(MAX_ROWS)]


@click.command()
@DIRECTORY
@TRIAL
@click.option("-f", "--follow", is_flag=True, help="Print new lines until the trial has ended.")
@exits
def logs(directory: Path, trial: str, follow: bool) -> int:
    """Prints the log of a trial: epochs, output and errors.

    TRIAL is the beginning of a trial's id in the sweep in DIRECTORY.

    Example: sweep logs experiments/digits_asha 1b45 -f
    """
    record = find_record(directory, trial)
    path = directory / record.directory / LOG_FILE
    if path.exists() and not path.is_file():
        raise SweepError(f"{path}: expected the log of the trial, found no file; move it away")
    if not follow and not path.exists() and not record.failures:
        raise SweepError(f"{path}: trial {record.id} ({record.state}) has not written a log")
    try:
        printed = ""
        for text in _read_log(directory, record, path, follow=follow):
            console.out(text, end="", highlight=False)
            printed += text
    except KeyboardInterrupt:
        return FINISHED
    for failure in SweepLayout(directory).read_trial(record.directory).failures:
        print_line(f"--- failed after epoch {failure.epoch}, {failure.time}: {failure.cause}")
        in_log = bool(failure.message) and failure.message in printed
        print_line(failure.message if in_log else failure.traceback.rstrip() or failure.message)
    return FINISHED


def _read_log(directory: Path, record: TrialRecord, path: Path, *, follow: bool) -> Iterator[str]:
    """Yields the content of a log and, if it is followed, what is added until the trial ends."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    position = 0
    while True:
        is_last_read = not follow or _has_ended(directory, record)
        if path.exists():
            if path.stat().st_size < position:
                position = 0  # the file was replaced
            with path.open("rb") as file:
                file.seek(position)
                data = file.read()
            position += len(data)
            text = decoder.decode(data)
            yield text.replace("\r\n", "\n").replace("\r", "\n")  # a line per state of a bar
        if is_last_read or console.quiet:
            return
        time.sleep(FOLLOW_INTERVAL_S)


def _has_ended(directory: Path, record: TrialRecord) -> bool:
    """Returns whether the trial has ended or the sweep is not running."""
    layout = SweepLayout(directory)
    if current_state(directory, layout.read_sweep()) != "running":
        return True
    return layout.read_trial(record.directory).state in ENDED


@click.command()
@DIRECTORY
@click.argument("first", type=TRIAL_ID)
@click.argument("second", type=TRIAL_ID)
@AS_JSON
@exits
def compare(directory: Path, first: str, second: str, as_json: bool) -> int:
    """Compares the configs and curves of two trials.

    FIRST and SECOND are the beginnings of two trials' ids in the sweep in DIRECTORY.

    Example: sweep compare experiments/digits_asha 1b45 d0cc
    """
    sweep, (left, right) = load_trials(directory, [first, second])
    print_damage(sweep, left, right)
    differences = config_differences([left, right], sweep.search["config"])
    curves = join_curves([left, right], sweep.metric)
    if as_json:
        ids = [left.record.id, right.record.id]
        data = {"trials": ids, "config": differences, "metric": sweep.metric, "curves": curves}
        print_json(data)
        return FINISHED
    table = _pair_table("", left, right)
    for key, values in differences.items():
        table.add_row(*(ShortenedText(text) for text in (key, *map(format_value, values))))
    for name in ("best", "last"):
        rows = [getattr(result, name) for result in (left, right)]
        table.add_row(
            f"{name} {sweep.metric}", *(format_metric(row, sweep.metric) for row in rows)
        )
    table.add_row("state", left.record.state, right.record.state)
    print_table(table)
    _print_curves(sweep, left, right, curves)
    return FINISHED


def _pair_table(heading: str, left: TrialResult, right: TrialResult) -> Table:
    columns = (heading, left.record.id, right.record.id)
    return make_table(*columns, shortened=columns)


def _print_curves(
    sweep: LoadedSweep, left: TrialResult, right: TrialResult, curves: list[list[Any]]
) -> None:
    table = _pair_table(f"{sweep.metric} at epoch", left, right)
    for epoch, first, second in _subsample(curves):
        table.add_row(str(epoch), format_value(first), format_value(second))
    print_table(table)
    points = [[(row[0], row[side]) for row in curves if row[side] is not None] for side in (1, 2)]
    lines = draw_chart(
        [Series("1", points[0]), Series("2", points[1])],
        width=min(console.width, MAX_WIDTH),
        height=PLOT_HEIGHT,
        x_label="epoch",
    )
    for line in lines:
        print_line(line)
    if lines:
        print_line(f"1: {left.record.id}, 2: {right.record.id}, {sweep.metric}")
