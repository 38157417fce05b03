"""Verbs that say how a sweep stands: status and best."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweeps.console import console, say, show
from sweeps.layout import SWEEP_FILE, SweepError
from sweeps.loading import LoadedSweep, load, saved_best
from sweeps.results import TrialResult
from sweeps.verbs.common import DIRECTORY, FINISHED, exits
from sweeps.verbs.wording import AS_JSON, duration, quoted, say_json, short, table
from trainable.yaml_reader import read_yaml

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
        _print_status(_status(load(directory)), as_json)
        return FINISHED
    try:
        if as_json or not console.is_terminal:
            _print_changes(directory, as_json)
            return FINISHED
        with Live(console=console, refresh_per_second=2, screen=False) as live:
            for sweep in _looks(directory):
                now = _status(sweep)
                text = Text("\n".join(_status_lines(now)))
                live.update(Group(text, _live_table(now)))
    except KeyboardInterrupt:
        say("no longer watching; the sweep is not affected")
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
        now = _status(sweep)
        compared = {key: value for key, value in now.items() if key != "elapsed_s"}
        if compared != before:
            _print_status(now, as_json)
        before = compared


def _status(sweep: LoadedSweep) -> dict[str, Any]:
    """The status as plain values."""
    failed = [r.record for r in sweep.results if r.record.state == "failed"]
    return {
        "name": sweep.record.name,
        "directory": str(sweep.directory),
        "state": sweep.state,
        "reason": sweep.record.reason,
        "trials": dict(sweep.states),
        "ended": sweep.ended,
        "total": sweep.total,
        "metric": sweep.metric,
        "best": sweep.best_entry(),
        "elapsed_s": _elapsed(sweep),
        "epochs": sum(len(result.rows) for result in sweep.results),
        "saved_epochs": sweep.saved_epochs(),
        "failed": [
            {"trial": record.id, "cause": record.failures[-1].cause if record.failures else None}
            for record in failed
        ],
        "unended": [_live_entry(sweep, result) for result in _unended(sweep)],
    }


def _live_entry(sweep: LoadedSweep, result: TrialResult) -> dict[str, Any]:
    last = result.last or {}
    return {
        "trial": result.record.id,
        "state": result.record.state,
        "epoch": last.get("epoch", 0),
        "epochs": sweep.epochs(result.record),
        "value": last.get(sweep.metric),
        "best": None if result.best is None else result.best[sweep.metric],
        "epoch_s": last.get("epoch_s"),
        "images_per_s": last.get("images_per_s"),
        "peak_memory_gib": last.get("peak_memory_gib"),
    }


def _unended(sweep: LoadedSweep) -> list[TrialResult]:
    """Trials that have started and not ended, in order of creation."""
    found = [r for r in sweep.results if r.record.state in {"running", "paused"}]
    return sorted(found, key=lambda result: result.record.number)


def _elapsed(sweep: LoadedSweep) -> float:
    """Seconds it has run in all; the record of a running one is as old as its last event."""
    elapsed = sweep.record.elapsed_s
    if sweep.state == "running":
        elapsed += max(0.0, time.time() - (sweep.directory / SWEEP_FILE).stat().st_mtime)
    return round(elapsed, 1)


def _print_status(now: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say_json(now)
        return
    for line in _status_lines(now):
        say(line)
    if now["unended"]:
        show(_live_table(now))


def _status_lines(now: dict[str, Any]) -> list[str]:
    reason = f" ({now['reason']})" if now["reason"] else ""
    states = ", ".join(f"{count} {state}" for state, count in sorted(now["trials"].items()))
    saved = f", {now['saved_epochs']} saved by stopping early" if now["saved_epochs"] else ""
    best = _best_text(now["best"])
    lines = [
        f"sweep {now['name']}: {now['state']}{reason}",
        f"{now['ended']} of {now['total']} trials ended" + (f": {states}" if states else ""),
        f"{'best' if now['state'] == 'finished' else 'best so far'}: {best}",
        f"{duration(now['elapsed_s'])}; {now['epochs']} epochs trained{saved}",
    ]
    causes = sorted({str(entry["cause"]) for entry in now["failed"]})
    if causes:
        lines.append(f"{len(now['failed'])} failed ({', '.join(causes)})")
    if now["state"] in {"paused", "interrupted"}:
        lines.append(f"to go on: sweep resume {quoted(Path(now['directory']))}")
    return lines


def _live_table(now: dict[str, Any]) -> Table:
    """The trials that have started and not ended."""
    drawn = table("trial", "state", "epoch", "of", now["metric"], "best", "s/epoch", "images/s")
    names = ("trial", "state", "epoch", "epochs", "value", "best", "epoch_s", "images_per_s")
    for entry in now["unended"][:LIVE_ROWS]:
        drawn.add_row(*(short(entry[name]) for name in names))
    if len(now["unended"]) > LIVE_ROWS:
        drawn.caption = f"{len(now['unended']) - LIVE_ROWS} more"
    return drawn


def best_line(sweep: LoadedSweep) -> str:
    """The best trial, its metric and epoch in one line."""
    return _best_text(sweep.best_entry())


def _best_text(best: dict[str, Any] | None) -> str:
    if best is None:
        return "no trial has completed an epoch"
    return f"trial {best['trial']}, {best['metric']} {best['value']:.4f} at epoch {best['epoch']}"


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
    checkpoint, saved = found.checkpoint, saved_best(found)
    config = found.directory / "config.yaml"
    restore = None if checkpoint is None else f"sweep restore {quoted(checkpoint)} --epochs N"
    if as_json:
        entry = {
            **(sweep.best_entry() or {}),
            "mode": sweep.mode,
            "sweep_state": sweep.state,
            "state": found.record.state,
            "values": found.record.current,
            "config": read_yaml(config).data if config.exists() else None,
            "checkpoint": None if checkpoint is None else str(checkpoint),
            "checkpoint_epoch": saved,
            "restore": restore,
        }
        say_json(entry)
        return FINISHED
    say(f"{sweep.best_is}: {best_line(sweep)}")
    for key, value in found.record.current.items():
        say(f"  {key}: {short(value)}")
    say(f"config:      {quoted(config)}")
    if checkpoint is None:
        say("checkpoint:  none, its weights were not kept")
        return FINISHED
    say(f"checkpoint:  {quoted(checkpoint)}")
    if saved != found.best["epoch"] and checkpoint.name == "best.pt":
        say(f"             of epoch {saved}, the best val_acc, not of the best {sweep.metric}")
    say(f"score it:    sweep eval {quoted(checkpoint)}")
    say(f"train it on: {restore}")
    say(f"anew:        python -m trainable {quoted(config)}")
    return FINISHED
