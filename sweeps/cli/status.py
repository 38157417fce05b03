"""Verbs that say how a sweep stands: status and best."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweeps.cli.options import AS_JSON, DIRECTORY, FINISHED, exits
from sweeps.cli.tables import pareto_table
from sweeps.results.loaded_sweep import LoadedSweep, best_checkpoint_epoch, load
from sweeps.results.progress import format_time_left
from sweeps.results.status import front_values, status_values
from sweeps.results.trial_results import TrialResult
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.records import ENDED
from sweeps.terminal.console import console, print_json, print_line, print_table
from sweeps.terminal.formatting import format_duration, format_value, make_table, quote_path
from trainable.config.yaml_reader import read_yaml

WATCH_S = 2.0
"""Seconds between two looks of `--watch`."""
LIVE_ROWS = 16
"""Trials that a status shows one by one."""


@click.command()
@DIRECTORY
@click.option("--watch", is_flag=True, help="Look again every two seconds until it has ended.")
@AS_JSON
@exits
def status(directory: Path, watch: bool, as_json: bool) -> int:
    """Says how far the sweep in DIRECTORY is.

    With --watch and --json it prints one object a line, whenever something has changed.

    Example: sweep status experiments/digits_asha --watch
    """
    if not watch:
        sweep = load(directory)
        _print_status(sweep, status_values(sweep), as_json)
        return FINISHED
    try:
        if as_json or not console.is_terminal:
            _print_changes(directory, as_json)
            return FINISHED
        with Live(console=console, refresh_per_second=2, screen=False) as live:
            for sweep in _looks(directory):
                now = status_values(sweep)
                text = Text("\n".join(_status_lines(now)))
                live.update(Group(text, *_tables(sweep, now)))
    except KeyboardInterrupt:
        print_line("no longer watching; the sweep is not affected")
    return FINISHED


def _looks(directory: Path) -> Iterator[LoadedSweep]:
    """The sweep again and again, for the last time when nobody runs it any more."""
    while True:
        sweep = load(directory)
        yield sweep
        if sweep.state != "running" or console.quiet:
            return
        time.sleep(WATCH_S)


def _print_changes(directory: Path, as_json: bool) -> None:
    before = None
    for sweep in _looks(directory):
        now = status_values(sweep)
        compared = {key: value for key, value in now.items() if key not in {"elapsed_s", "left_s"}}
        if compared != before:
            _print_status(sweep, now, as_json)
        before = compared


def _print_status(sweep: LoadedSweep, now: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(now)
        return
    for line in _status_lines(now):
        print_line(line)
    for drawn in _tables(sweep, now):
        print_table(drawn)


def _tables(sweep: LoadedSweep, now: dict[str, Any]) -> list[Table]:
    """The Pareto front and the trials that have not ended, if there are any."""
    front = [pareto_table(sweep.front, sweep.metrics)] if sweep.front else []
    return [*front, *([_live_table(now)] if now["unended"] else [])]


def _status_lines(now: dict[str, Any]) -> list[str]:
    reason = f" ({now['reason']})" if now["reason"] else ""
    saved = f", {now['saved_epochs']} saved by stopping early" if now["saved_epochs"] else ""
    best = _best_text(now["best"])
    so_far = "" if now["state"] == "finished" else " so far"
    lines = [
        f"sweep {now['name']}: {now['state']}{reason}",
        f"{now['ended']} of {now['total']} trials ended{_states_text(now['trials'])}",
        f"{'best' if now['state'] == 'finished' else 'best so far'}: {best}",
        f"{format_duration(now['elapsed_s'])}{so_far}{format_time_left(now['left_s'])}; "
        f"{now['epochs']} epochs trained{saved}",
    ]
    if best_copies := _copies_text(now["best"]):
        lines.insert(3, best_copies)
    causes = sorted({str(entry["cause"]) for entry in now["failed"]})
    if causes:
        lines.append(f"{len(now['failed'])} failed ({', '.join(causes)})")
    if now["state"] in {"paused", "interrupted"}:
        lines.append(f"to go on: sweep resume {quote_path(Path(now['directory']))}")
    return lines


def _states_text(trials: Mapping[str, int]) -> str:
    """` (3 finished, 1 stopped), 2 running`: how trials have ended, and the others."""
    ended: list[str] = []
    others: list[str] = []
    for state, count in sorted(trials.items()):
        (ended if state in ENDED else others).append(f"{count} {state}")
    return (f" ({', '.join(ended)})" if ended else "") + "".join(f", {text}" for text in others)


def _live_table(now: dict[str, Any]) -> Table:
    """The trials that have started and not ended."""
    drawn = make_table(
        "trial", "state", "epoch", "of", now["metric"], "best", "s/epoch", "images/s"
    )
    names = ("trial", "state", "epoch", "epochs", "value", "best", "epoch_s", "images_per_s")
    for entry in now["unended"][:LIVE_ROWS]:
        drawn.add_row(*(format_value(entry[name]) for name in names))
    if len(now["unended"]) > LIVE_ROWS:
        drawn.caption = f"{len(now['unended']) - LIVE_ROWS} more"
    return drawn


def best_line(sweep: LoadedSweep) -> str:
    """The best trial, its metric and epoch in one line."""
    return _best_text(sweep.best_values())


def _best_text(best: dict[str, Any] | None) -> str:
    if best is None:
        return "no trial has completed an epoch"
    return f"trial {best['trial']}, {best['metric']} {best['value']:.4f} at epoch {best['epoch']}"


def _copies_text(best: dict[str, Any] | None) -> str:
    """The trials of the best configuration in one line; nothing where it has only one."""
    copies = None if best is None else best.get("copies")
    if best is None or copies is None:
        return ""
    spread = "" if copies["sd"] is None else f", sd {copies['sd']:.4f}"
    count = f"{copies['trials']}{' final' if copies['final'] else ''} trial"
    return (
        f"its configuration {copies['configuration']}: mean {best['metric']} "
        f"{copies['mean']:.4f}{spread} of {count}{'s' if copies['trials'] > 1 else ''}"
    )


@click.command()
@DIRECTORY
@AS_JSON
@exits
def best(directory: Path, as_json: bool) -> int:
    """Shows the best trial of the sweep in DIRECTORY: its config, its metric, its best.pt.

    Example: sweep best experiments/digits_asha --json
    """
    sweep = load(directory)
    found = sweep.best
    if found is None or found.best is None:
        raise SweepError(f"{directory}: no trial has completed an epoch")
    checkpoint, saved = found.checkpoint, best_checkpoint_epoch(found)
    config = found.directory / "config.yaml"
    restore = None if checkpoint is None else f"sweep restore {quote_path(checkpoint)} --epochs N"
    if as_json:
        entry = {
            **(sweep.best_values() or {}),
            "mode": sweep.mode,
            "sweep_state": sweep.state,
            "state": found.record.state,
            "values": found.record.current,
            "config": read_yaml(config).data if config.exists() else None,
            "checkpoint": None if checkpoint is None else str(checkpoint),
            "checkpoint_epoch": saved,
            "restore": restore,
            "pareto": front_values(sweep),
        }
        print_json(entry)
        return FINISHED
    _print_best(sweep, found, saved, restore)
    return FINISHED


def _print_best(
    sweep: LoadedSweep, found: TrialResult, saved: int | None, restore: str | None
) -> None:
    checkpoint, config = found.checkpoint, found.directory / "config.yaml"
    print_line(f"{sweep.best_label}: {best_line(sweep)}")
    if best_copies := _copies_text(sweep.best_values()):
        print_line(best_copies)
    for key, value in found.record.current.items():
        print_line(f"  {key}: {format_value(value)}")
    if sweep.front:
        print_table(pareto_table(sweep.front, sweep.metrics))
    print_line(f"config:      {quote_path(config)}")
    if checkpoint is None:
        print_line("checkpoint:  none, its weights were not kept")
        return
    print_line(f"checkpoint:  {quote_path(checkpoint)}")
    if saved != (found.best or {})["epoch"] and checkpoint.name == "best.pt":
        print_line(
            f"             of epoch {saved}, the best val_acc, not of the best {sweep.metric}"
        )
    print_line(f"score it:    sweep eval {quote_path(checkpoint)}")
    print_line(f"train it on: {restore}")
    print_line(f"anew:        python -m trainable {quote_path(config)}")
