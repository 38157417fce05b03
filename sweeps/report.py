"""Turns a sweep's results into a table, a CSV file and the best trial's config."""

from __future__ import annotations

import csv
import io
from typing import Any

import rich.box
from rich.table import Table

from sweeps.layout import SweepLayout
from sweeps.results import TrialResult
from trainable.files import write_text

ROWS_SHOWN = 20


def table(results: list[TrialResult], metric: str) -> Table:
    """The best trials, ranked by their best epoch."""
    keys = _sampled_keys(results)
    drawn = Table(
        title=f"trials by {metric} of their best epoch",
        title_justify="left",
        box=rich.box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    drawn.add_column("#", justify="right", no_wrap=True)
    drawn.add_column("trial", no_wrap=True)
    drawn.add_column("state", no_wrap=True)
    for name in (metric, "epoch", "of"):
        drawn.add_column(name, justify="right", no_wrap=True)
    for key in keys:
        drawn.add_column(key.rpartition(".")[2], justify="right", overflow="fold", min_width=8)
    for rank, result in enumerate(results[:ROWS_SHOWN], start=1):
        best, last = result.best, result.last
        drawn.add_row(
            str(rank),
            result.record.id,
            result.record.state,
            "-" if best is None else f"{best[metric]:.4f}",
            "-" if best is None else str(best["epoch"]),
            "-" if last is None else str(last["epoch"]),
            *(_short(result.record.current.get(key)) for key in keys),
        )
    if len(results) > ROWS_SHOWN:
        drawn.caption = f"{len(results) - ROWS_SHOWN} more in trials.csv"
    return drawn


def write_files(layout: SweepLayout, results: list[TrialResult], metric: str) -> None:
    """Writes `trials.csv` and, if any trial has a best epoch, `best_config.yaml`."""
    keys = _sampled_keys(results)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["rank", "trial", "number", "state", metric, "best_epoch", "last_" + metric, "epochs"]
    writer.writerow([*head, *keys, "directory", "checkpoint"])
    for rank, result in enumerate(results, start=1):
        best, last = result.best or {}, result.last or {}
        checkpoint = result.checkpoint
        writer.writerow(
            [
                rank,
                result.record.id,
                result.record.number,
                result.record.state,
                best.get(metric),
                best.get("epoch"),
                last.get(metric),
                last.get("epoch", 0),
                *(result.record.current.get(key) for key in keys),
                result.record.directory,
                "" if checkpoint is None else checkpoint.relative_to(layout.directory),
            ]
        )
    write_text(layout.trials_csv, text.getvalue())
    config = results[0].directory / "config.yaml" if results and results[0].best else None
    if config is not None and config.exists():
        write_text(layout.best_config, config.read_text(encoding="utf-8"))


def _sampled_keys(results: list[TrialResult]) -> list[str]:
    """Every sampled key, in the order in which trials have them."""
    return list(dict.fromkeys(key for result in results for key in result.record.values))


def _short(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
