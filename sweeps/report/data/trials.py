"""One trial as the report's script reads it: state, scores, values, failures, files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sweeps.report.tables import zoned_time
from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.trial_results import TrialResult
from sweeps.sweep_dir.records import Failure
from sweeps.terminal.formatting import count_of, shorten_message
from trainable.config.sections.dataset import FOLD
from trainable.experiment.console import escape_controls, to_printable

TRACEBACK_LINES = 12
"""Last lines of a traceback that the page has."""
MAX_FAILURES = 5
"""Failures of a trial that the page has, the last ones."""
MAX_FILES = 40
"""Files of a trial that the page lists."""


def describe_end(sweep: LoadedSweep, result: TrialResult) -> str:
    """Returns why a trial has ended; empty if it ran all its epochs or has not ended."""
    record = result.record
    if record.state == "failed" and record.failures:
        failure = record.failures[-1]
        return f"{failure.cause} after epoch {failure.epoch}"
    if record.state == "stopped":
        by = "the scheduler or the target" if sweep.record.reason == "target" else "the scheduler"
        reasons = dict.fromkeys([record.stop_text, record.stop_reason])
        return ": ".join(filter(None, reasons)) or f"by {by}"
    return "held by hand" if record.held else ""


def seconds_of(result: TrialResult) -> float | None:
    """Returns the seconds between a trial's start and end; None if it has trained no epoch.

    For a trial that has not ended they are the time of its epochs.
    """
    started, ended = to_seconds(result.record.started), to_seconds(result.record.ended)
    if started is not None and ended is not None:
        return max(0.0, ended - started)
    if not result.rows:
        return None
    return sum(float(row.get("epoch_s") or 0.0) for row in result.rows)


def to_seconds(time: str | None) -> float | None:
    """Returns a recorded time as seconds since 1970; None if it is none."""
    try:
        return None if time is None else datetime.fromisoformat(time).timestamp()
    except (ValueError, OverflowError):
        return None


def last_lines(failure: Failure) -> str:
    """Returns the last lines of a failure's traceback; empty if it says no more than the message.

    Control characters are escaped.
    """
    text = failure.traceback.strip()
    if text in {"", failure.message.strip()}:
        return ""
    lines = text.splitlines()
    more = len(lines) - TRACEBACK_LINES
    head = f"... {count_of(more, 'line')} above\n" if more > 0 else ""
    return escape_controls(head + "\n".join(lines[-TRACEBACK_LINES:]))


def to_plain(value: Any) -> Any:
    """Returns a value of the space as a number or text; null, lists and mappings become text.

    A text that looks like one of these or like a number is quoted, so that no two values of a
    choice look the same.
    """
    if isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        return str(value).lower()
    if isinstance(value, int | float):
        return value
    if isinstance(value, str):
        return to_printable(json.dumps(value) if _looks_like_another(value) else value)
    return to_printable(json.dumps(value, ensure_ascii=False, default=str))


def _looks_like_another(text: str) -> bool:
    """Returns whether a text could be read as a value of another type."""
    if text in {"", "inf", "-inf", "nan"}:
        return True
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def trial_data(sweep: LoadedSweep, result: TrialResult, keys: Sequence[str]) -> dict[str, Any]:
    """Returns a trial as plain values; what it does not have is left out.

    Args:
        sweep: The sweep.
        result: The trial.
        keys: The keys of the space; `values` has the trial's values in this order, null for keys
            that it does not have.
    """
    record, best = result.record, result.best
    data: dict[str, Any] = {
        "id": record.id,
        "number": record.number,
        "state": record.state,
        "why": describe_end(sweep, result),
        "best": None if best is None else best[sweep.metric],
        "own": None if result.own_best is None else result.own_best[sweep.metric],
        "inherited": result.inherited is not None,
        "best_epoch": None if best is None else best["epoch"],
        "last": None if result.last is None else result.last.get(sweep.metric),
        "epochs": 0 if result.last is None else result.last["epoch"],
        "planned": sweep.epochs(record),
        "seconds": seconds_of(result),
        "started": to_seconds(record.started),
        "started_text": None if record.started is None else zoned_time(record.started),
        "ended": to_seconds(record.ended),
        "values": [to_plain(result.values[key]) if key in result.values else None for key in keys],
        "directory": record.directory,
        "checkpoint": None if result.checkpoint is None else result.checkpoint.name,
        "files": list_files(result.directory),
    }
    if record.configuration is not None:
        data["configuration"] = {
            "number": record.configuration_id,
            "repeat": record.repeat,
            "final": record.final,
        }
    data |= {
        "scores": _scores(result, sweep.metrics) if len(sweep.metrics) > 1 else None,
        "changes": _changes(result),
        "copied": [[step["epoch"], step["donor"]] for step in record.lineage],
        "failures": [_failure(failure) for failure in record.failures[-MAX_FAILURES:]],
        "weights": None if record.weights is None else str(record.weights),
        "added": record.added,
        "damage": result.damage,
    }
    return {key: value for key, value in data.items() if key == "values" or not _is_empty(value)}


def _is_empty(value: Any) -> bool:
    return not value and (value is False or value != 0)


def _scores(result: TrialResult, metrics: Mapping[str, str]) -> list[Any]:
    """Returns every metric that trials are compared by, at the best epoch of the trial's own."""
    best = result.own_best or {}
    return [best.get(name) for name in metrics]


def _changes(result: TrialResult) -> dict[str, Any]:
    """Returns what differs from the values: set by the sweep, or changed since the best epoch."""
    record = result.record
    later = {k: v for k, v in record.current.items() if result.values.get(k) != v}
    own = {key: value for key, value in record.changes.items() if key != FOLD}
    return {key: to_plain(value) for key, value in {**later, **own}.items()}


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "cause": failure.cause,
        "epoch": failure.epoch,
        "time": zoned_time(failure.time),
        "message": escape_controls(shorten_message(failure.message)),
        "traceback": last_lines(failure),
    }


def list_files(directory: Path) -> list[list[Any]]:
    """Lists the files of a trial's directory as `[path below it, bytes]`, at most `MAX_FILES`."""
    try:
        paths = sorted(path for path in directory.rglob("*") if path.is_file())
    except OSError:  # it is being removed
        return []
    files: list[list[Any]] = []
    for path in paths[:MAX_FILES]:
        try:
            files.append([path.relative_to(directory).as_posix(), path.stat().st_size])
        except OSError:  # it has just been replaced or removed
            continue
    return files
