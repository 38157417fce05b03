"""Parts of a trial's page that are text: config, classes, checkpoints, failures, commands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dash import html
from dash.development.base_component import Component

from sweeps.report.class_data import MISTAKES_HEAD, read_splits, recall_rows
from sweeps.report.comparison import LOCATION_KEYS, flat_config, flatten_sections
from sweeps.results.commands import trial_commands
from sweeps.results.loaded_sweep import LoadedSweep, best_checkpoint_epoch
from sweeps.results.trial_results import TrialResult
from sweeps.terminal.commands import sweep_command
from sweeps.terminal.formatting import format_size, format_time, format_value
from sweeps.ui.figures.classes import matrix_figure
from sweeps.ui.pages.failures import traceback_part
from sweeps.ui.pages.parts import command, graph, plain_text, state_badge, table
from trainable.artifacts.names import BEST_FILE, CHECKPOINTS, LATEST_FILE, epoch_of
from trainable.config.sections.dataset import FOLD
from trainable.errors import TuneSweepsError

MAX_CLASSES = 200
"""Classes, those with the lowest recall, that a table lists."""
UNCHANGED = "line"
"""Class of a line of the config whose value is the one in the search file."""
COMMAND_LABELS = {
    "eval": "Score its weights on the test set:",
    "restore": "Train it further, alone:",
    "export-model": "Export its model:",
    "train": "Train its config again:",
}


def failure_parts(result: TrialResult) -> list[Component]:
    """Returns a trial's failures, the last one first."""
    record = result.record
    parts: list[Component] = []
    for failure in reversed(record.failures):
        head = [
            state_badge("failed", failure.cause),
            html.Span(
                f"after epoch {failure.epoch}, {format_time(failure.time)}", className="muted"
            ),
        ]
        content = [html.Div(head, className="title"), plain_text(failure.message)]
        parts.append(html.Div([*content, *traceback_part(failure)], className="group"))
    return parts


# ---------------------------------------------------------------------------- values


def config_parts(sweep: LoadedSweep, result: TrialResult) -> list[Component]:
    """Returns the values of a trial, and its whole config with the differences marked."""
    base = flatten_sections(sweep.search["config"])
    record = result.record
    rows = [[key, _cell(value), ""] for key, value in result.values.items()]
    for key, value in record.current.items():
        if result.values.get(key) != value:
            rows.append([key, _cell(value), "since its best epoch"])
    for key, value in record.changes.items():
        if key != FOLD:  # among the values
            rows.append([key, _cell(value), "changed by the sweep"])
    parts: list[Component] = []
    if rows:
        parts.append(table(["key", "value", ""], rows))
    return [*parts, _whole_config(base, result, sweep.search["config"])]


def _whole_config(
    base: Mapping[str, Any], result: TrialResult, config: Mapping[str, Any]
) -> Component:
    try:
        values = flat_config(result, config)
    except TuneSweepsError as error:
        return html.P(str(error), className="muted")
    lines = [
        _config_line(key, value, base.get(key, value))
        for key, value in values.items()
        if key not in LOCATION_KEYS
    ]
    lines.sort(key=lambda line: line.className == UNCHANGED)
    changed = sum(line.className != UNCHANGED for line in lines)
    summary = html.Summary(
        f"Whole config, {changed} of {len(lines)} values differ from the sweep's"
    )
    return html.Details([summary, html.Div(lines, className="config")])


def _config_line(key: str, value: Any, in_base: Any) -> Any:
    text = f"{key}: {_cell(value)}"
    if value == in_base:
        return html.Div(text, className=UNCHANGED)
    before = html.Span(f"   was {_cell(in_base)}", className="muted")
    return html.Div([text, before], className="line changed")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else format_value(value)


# --------------------------------------------------------------------------- classes


def class_parts(result: TrialResult) -> list[Component]:
    """Returns the recall of each class and the confusion matrix, if they have been measured."""
    splits = read_splits(result)
    head, rows = recall_rows(splits)
    parts: list[Component] = []
    if rows:
        parts.append(table(head, rows[:MAX_CLASSES], "numbers"))
    if len(rows) > MAX_CLASSES:
        parts.append(html.P(f"{len(rows) - MAX_CLASSES} more.", className="muted"))
    for split in splits:
        parts.append(html.H3(split.matrix_title))
        if split.matrix is None:
            parts.append(html.P(split.missing_matrix, className="muted"))
        else:
            parts.append(graph("matrix", split.name, matrix_figure(split.matrix, split.name)))
        if split.mistakes:
            parts.append(html.H3(split.mistakes_title))
            parts.append(table(MISTAKES_HEAD, split.mistakes))
    return parts


# ------------------------------------------------------------------ files and commands


def checkpoint_table(result: TrialResult) -> list[Component]:
    """Returns the checkpoints of a trial with their epochs and sizes."""
    rows = []
    for path in sorted((result.directory / CHECKPOINTS).glob("*.pt")):
        try:
            size = format_size(path.stat().st_size)
        except OSError:  # it has just been replaced or removed
            continue
        epoch = _epoch(result, path)
        rows.append([path.name, "-" if epoch is None else epoch, size])
    return [table(["file", "epoch", "size"], rows)] if rows else []


def _epoch(result: TrialResult, path: Path) -> int | None:
    """Returns the epoch of a checkpoint; None if only the file itself says it."""
    if path.name == BEST_FILE:
        return best_checkpoint_epoch(result)
    if path.name == LATEST_FILE and result.record.state == "finished" and result.last is not None:
        return int(result.last["epoch"])
    return epoch_of(path.name) or None


def command_list(sweep: LoadedSweep, result: TrialResult) -> list[Component]:
    """Returns the commands that use a trial."""
    try:
        commands = trial_commands(result, absolute=True)
    except (TuneSweepsError, OSError) as error:
        return [html.P(str(error), className="muted")]
    parts = [
        command(label, commands[verb])
        for verb, label in COMMAND_LABELS.items()
        if verb in commands
    ]
    if result.record.state == "failed":
        again = sweep_command("trial", "retry", sweep.directory, result.record.id, absolute=True)
        parts.append(command("Retry it:", again))
    log = sweep_command("logs", sweep.directory, result.record.id, absolute=True)
    return [*parts, command("Print its whole log:", log)]
