"""Commands that show sweeps: list, status and best."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweeps.cli.options import (
    AS_JSON,
    DIRECTORY,
    FINISHED,
    SWEEP_DIRECTORY,
    exits,
    load_noting,
    print_damage,
)
from sweeps.cli.summary import describe_failed
from sweeps.cli.tables import pareto_table
from sweeps.results.commands import describe_held, read_commands, trial_commands
from sweeps.results.loaded_sweep import LoadedSweep, best_checkpoint_epoch, load
from sweeps.results.progress import format_time_left
from sweeps.results.status import front_values, list_values, status_values
from sweeps.results.trial_results import TrialResult, describe_best, describe_missing_best
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.records import BY_HAND, ENDED, describe_state
from sweeps.terminal.commands import quote_word
from sweeps.terminal.console import (
    console,
    print_json,
    print_line,
    print_note,
    print_table,
    print_wrapped,
)
from sweeps.terminal.formatting import (
    count_of,
    format_duration,
    format_metric,
    format_time,
    format_value,
    make_table,
)
from sweeps.terminal.tables import ShortenedText
from trainable.artifacts.metrics import monitor_of
from trainable.artifacts.names import BEST_FILE, CONFIG_FILE
from trainable.config.yaml_reader import parse_yaml
from trainable.errors import list_first

WATCH_INTERVAL_S = 2.0
"""Seconds between two updates of `--watch`."""
MAX_LIVE_TRIALS = 16
"""Trials that the table of `sweep status` shows."""
MAX_STOPPED_TRIALS = 8
"""Trials ended by a rule of their training config whose ids `sweep status` shows."""


# ------------------------------------------------------------------------ list


@click.command("list")
@click.argument("directory", type=SWEEP_DIRECTORY, default=Path("experiments"))
@AS_JSON
@exits
def list_(directory: Path, as_json: bool) -> int:
    """Lists the sweeps in a directory, newest first.

    DIRECTORY is experiments/ by default.

    Example: sweep list experiments
    """
    sweeps = list_values(directory)
    if as_json:
        print_json(sweeps)
        return FINISHED
    if not sweeps:
        print_line(f"no sweeps in {directory}")
        return FINISHED
    metrics = {str(values["metric"]) for values in sweeps if "metric" in values}
    is_one = len(metrics) == 1
    scores = [f"best\n{min(metrics)}"] if is_one else ["metric", "best"]
    table = make_table(
        "sweep", "state", "trials", *scores, "trial", "started", shortened={"sweep"}
    )
    for values in sweeps:
        ended = "" if "error" in values else f"{values['ended']}/{values['total']}"
        best = values.get("best") or {}
        table.add_row(
            ShortenedText(str(values["name"])),
            str(values["state"]),
            ended,
            *([] if is_one else [str(values.get("metric", ""))]),
            format_metric(best, "value"),
            str(best.get("trial", "-")),
            format_time(str(values["started"] or ""))[:16],
        )
    print_table(table)
    for values in sweeps:
        for text in [values["error"]] if "error" in values else values["damage"]:
            print_note(f"{values['name']}: {text}")
    return FINISHED


# ------------------------------------------------------------------------ status


@click.command()
@DIRECTORY
@click.option("--watch", is_flag=True, help="Update every two seconds while the sweep runs.")
@AS_JSON
@exits
def status(directory: Path, watch: bool, as_json: bool) -> int:
    """Shows the state and progress of a sweep.

    DIRECTORY is the directory of the sweep. With --watch and --json it prints one JSON object per
    line whenever something has changed.

    Example: sweep status experiments/digits_asha --watch
    """
    if not watch:
        sweep = load_noting(directory)
        _print_status(sweep, status_values(sweep), as_json)
        return FINISHED
    try:
        if as_json or not console.is_terminal:
            _print_changes(directory, as_json)
            return FINISHED
        with Live(console=console, refresh_per_second=2, screen=False) as live:
            for sweep in _poll(directory):
                values = status_values(sweep)
                notes = [f"note: {line}" for line in sweep.damage]
                lines = [*_state_lines(values), *_command_lines(values), *notes]
                text = Text("\n".join(lines))
                live.update(Group(text, *_status_tables(sweep, values)))
    except KeyboardInterrupt:
        print_line("stopped watching; the sweep is not affected")
    return FINISHED


def _poll(directory: Path) -> Iterator[LoadedSweep]:
    """Yields the sweep repeatedly, for the last time when it is no longer running."""
    while True:
        sweep = load(directory)
        yield sweep
        if sweep.state != "running" or console.quiet:
            return
        time.sleep(WATCH_INTERVAL_S)


def _print_changes(directory: Path, as_json: bool) -> None:
    """Prints the status whenever anything but the times has changed."""
    previous = None
    for sweep in _poll(directory):
        values = status_values(sweep)
        current = {k: value for k, value in values.items() if k not in {"elapsed_s", "left_s"}}
        if current != previous:
            print_damage(sweep)
            _print_status(sweep, values, as_json)
        previous = current


def _print_status(sweep: LoadedSweep, values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(values)
        return
    for line in _state_lines(values):
        print_wrapped(line)
    for line in _command_lines(values):
        print_line(line)
    for table in _status_tables(sweep, values):
        print_table(table)


def _status_tables(sweep: LoadedSweep, values: dict[str, Any]) -> list[Table]:
    """Returns the tables of the Pareto front and of live trials, unless they are empty."""
    front = [pareto_table(sweep.front, sweep.metrics)] if sweep.front else []
    return [*front, *([_live_table(values)] if values["unended"] else [])]


def _state_lines(values: dict[str, Any]) -> list[str]:
    """Returns the lines on the state, the trials, the best one and the time."""
    finished = values["state"] == "finished"
    saved_epochs = values["saved_epochs"]
    saved = f", {saved_epochs} saved by early stopping" if saved_epochs else ""
    lines = [
        f"sweep {values['name']}: {describe_state(values['state'], values['reason'])}",
        f"{values['ended']} of {values['total']} trials ended"
        f"{_format_states(values['trials'], values['total'])}",
        f"{'best' if finished else 'best so far'}: "
        f"{_format_best(values['best'], values['epochs'])}",
        f"{format_duration(values['elapsed_s'])}{'' if finished else ' so far'}"
        f"{format_time_left(values['left_s'])}; "
        f"{count_of(values['epochs'], 'epoch')} trained{saved}",
    ]
    if configuration := _format_configuration(values["best"]):
        lines.insert(3, configuration)
    return lines + _stopped_lines(values["stopped"])


def _command_lines(values: dict[str, Any]) -> list[str]:
    """Returns the lines on what can be done, with commands."""
    lines: list[str] = []
    if values["held"]:
        lines += describe_held(Path(values["directory"]), values["held"])
    if values["failed"]:
        causes = {str(failed["trial"]): str(failed["cause"]) for failed in values["failed"]}
        lines += describe_failed(Path(values["directory"]), causes)
    if values["stalled"]:
        lines.append(values["stalled"])
    if values["state"] in {"paused", "interrupted"}:
        lines.append(f"resume it:  {read_commands(Path(values['directory'])).run_again('resume')}")
    return lines


def _stopped_lines(stopped: list[dict[str, Any]]) -> list[str]:
    """Returns a line for the trials that requests have ended, and one for every rule that has."""
    lines = []
    for rule in sorted({str(trial["by"]) for trial in stopped}):
        own = [trial for trial in stopped if trial["by"] == rule]
        named = list_first([trial["trial"] for trial in own], MAX_STOPPED_TRIALS)
        by = "hand" if rule == BY_HAND else f"training.{rule}"
        lines.append(f"{count_of(len(own), 'trial')} ended by {by}: {named}")
    return lines


def _format_states(trials: Mapping[str, int], total: int) -> str:
    """Returns the number of trials per state: ` (3 finished, 1 stopped), 2 running`.

    Args:
        trials: State -> number of the trials that have been created.
        total: The number of trials when the sweep is complete.
    """
    counts = Counter(trials)
    counts["pending"] += total - sum(trials.values())
    ended: list[str] = []
    others: list[str] = []
    for state, count in sorted(counts.items()):
        if count:
            text = f"{count} {'not started' if state == 'pending' else state}"
            (ended if state in ENDED else others).append(text)
    return (f" ({', '.join(ended)})" if ended else "") + "".join(f", {text}" for text in others)


def _live_table(values: dict[str, Any]) -> Table:
    """Returns the table of trials that have started and not ended."""
    metric = values["metric"]
    scores = (f"last\n{metric}", f"best\n{metric}")
    table = make_table("trial", "state", "epoch", "of", *scores, "s/epoch", "images/s")
    keys = ("trial", "state", "epoch", "epochs", "value", "best", "epoch_s", "images_per_s")
    for trial in values["unended"][:MAX_LIVE_TRIALS]:
        table.add_row(*(_format_number(key, trial[key]) for key in keys))
    if len(values["unended"]) > MAX_LIVE_TRIALS:
        table.caption = f"{len(values['unended']) - MAX_LIVE_TRIALS} more"
    return table


def _format_number(key: str, value: Any) -> str:
    """Returns a value of the table of live trials as text."""
    form = {"value": ".4f", "best": ".4f", "epoch_s": ".3g", "images_per_s": ".0f"}.get(key)
    return format_value(value) if form is None or value is None else format(value, form)


# ------------------------------------------------------------------------ best


def best_line(sweep: LoadedSweep) -> str:
    """Returns the best trial, its metric and its epoch in one line."""
    return _format_best(sweep.best_values(), sum(len(result.rows) for result in sweep.results))


def _format_best(best: dict[str, Any] | None, epochs: int) -> str:
    if best is None:
        return describe_missing_best(epochs)
    row = {**best, best["metric"]: best["value"]}
    return f"trial {best['trial']}, {describe_best(row, best['metric'])}"


def _format_configuration(best: dict[str, Any] | None) -> str:
    """Returns the best configuration's mean and spread in one line; empty without repeats."""
    configuration = None if best is None else best.get("copies")
    if best is None or configuration is None:
        return ""
    sd = "" if configuration["sd"] is None else f", sd {configuration['sd']:.4f}"
    count = configuration["trials"]
    return (
        f"its configuration {configuration['configuration']}: mean {best['metric']} "
        f"{configuration['mean']:.4f}{sd} of {count}{' final' if configuration['final'] else ''} "
        f"trial{'s' if count > 1 else ''}"
    )


@click.command()
@DIRECTORY
@AS_JSON
@exits
def best(directory: Path, as_json: bool) -> int:
    """Shows the best trial and how to use it.

    Prints the values, the config and the checkpoint of the best trial of the sweep in DIRECTORY,
    and the commands that use it.

    Example: sweep best experiments/digits_asha --json
    """
    sweep = load(directory)
    trial = sweep.best
    print_damage(sweep, *([] if trial is None else [trial]))
    if trial is None or trial.best is None:
        raise SweepError(f"{directory}: {sweep.missing_best}")
    checkpoint, checkpoint_epoch = trial.checkpoint, best_checkpoint_epoch(trial)
    config = trial.config_text()
    commands = trial_commands(trial, sweep.best_config_file)
    if as_json:
        values = {
            **(sweep.best_values() or {}),
            "mode": sweep.mode,
            "sweep_state": sweep.state,
            "state": trial.record.state,
            "values": trial.values,
            "config": None if config is None else parse_yaml(config, "its config").data,
            "checkpoint": None if checkpoint is None else str(checkpoint),
            "checkpoint_epoch": None if checkpoint is None else checkpoint_epoch,
            "restore": commands.get("restore"),
            "pareto": front_values(sweep),
            "damage": sweep.damage,
        }
        print_json(values)
        return FINISHED
    _print_best(sweep, trial, checkpoint_epoch, commands)
    return FINISHED


def _print_best(
    sweep: LoadedSweep, trial: TrialResult, checkpoint_epoch: int | None, commands: dict[str, str]
) -> None:
    checkpoint, config = trial.checkpoint, sweep.best_config_file
    print_line(f"{sweep.best_label}: {best_line(sweep)}")
    if configuration := _format_configuration(sweep.best_values()):
        print_line(configuration)
    for key, value in trial.values.items():
        print_line(f"  {key}: {format_value(value)}")
    if sweep.front:
        print_table(pareto_table(sweep.front, sweep.metrics))
    print_line(f"config:            {quote_word(config or trial.directory / CONFIG_FILE)}")
    if config is None:
        print_line("                   has the values of the last epoch, not those above")
    if checkpoint is None:
        reason = "its weights were not kept"
        if not sweep.saves_checkpoints:
            reason = "checkpoint.enabled is false"
        print_line(f"checkpoint:        none, {reason}")
    else:
        print_line(f"checkpoint:        {quote_word(checkpoint)}")
        if checkpoint_epoch != (trial.best or {})["epoch"] and checkpoint.name == BEST_FILE:
            print_line(
                f"                   has epoch {checkpoint_epoch}, the best by "
                f"{monitor_of(trial.last or {})}, not the best by {sweep.metric}"
            )
        print_line(f"score it:          {commands['eval']}")
        if "predict" in commands:
            print_line(f"predict with it:   {commands['predict']}")
        print_line(f"export its model:  {commands['export-model']}")
        print_line(f"train it further:  {commands['restore']}")
    print_line(f"train it again:    {commands['train']}")
