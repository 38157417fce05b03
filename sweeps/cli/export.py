"""Commands that process a whole sweep: export, plot, report and gc."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import click

from sweeps.cli.options import (
    AS_JSON,
    DIRECTORY,
    FINISHED,
    SOME_FAILED,
    exits,
    load_noting,
    writing,
)
from sweeps.cli.shell.parameter_types import UserPath
from sweeps.cli.status import best_line
from sweeps.report.text_charts import Series, draw_chart
from sweeps.results.cleanup import Removable
from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.retention import delete
from sweeps.sweep_dir.errors import SweepError
from sweeps.terminal.commands import quote_word
from sweeps.terminal.console import console, print_json, print_line, print_note
from sweeps.terminal.formatting import format_metric, format_size, replace_non_finite
from trainable.artifacts.metrics import is_scored
from trainable.atomic_files import write_text

MAX_CURVES = 5
"""Trials whose curves `sweep plot` draws."""
MAX_WIDTH, PLOT_HEIGHT = 100, 14
"""Columns and lines of a chart of `sweep plot`."""
KIND_NAMES = {
    "weights": "checkpoints",
    "temporary": "temporary files",
    "tune": "files and checkpoint directories written by Ray Tune",
}
"""Kind of a removable file -> its name in the output of `sweep gc`."""


@click.command()
@DIRECTORY
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "json", "parquet", "optuna"]),
    default="csv",
    show_default=True,
    help="The output format. optuna writes a study for optuna-dashboard: SQLite if FILE ends in "
    ".db, .sqlite or .sqlite3, else a journal, which is written much faster.",
)
@click.option(
    "--output",
    type=UserPath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to FILE instead of the terminal.",
)
@click.option("--epochs", is_flag=True, help="Write one row per epoch instead of one per trial.")
@exits
def export(directory: Path, kind: str, output: Path | None, epochs: bool) -> int:
    """Exports the trials of a sweep.

    Prints the trials of the sweep in DIRECTORY from best to worst, or writes them to a file.

    Example: sweep export experiments/digits_asha --format parquet --output trials.parquet
    """
    from sweeps.results.export import epoch_rows, rows_to_csv, trial_rows, write_parquet

    if kind == "optuna" and epochs:
        raise SweepError("--format optuna always includes the epochs; remove --epochs")
    if output is None and kind in {"parquet", "optuna"}:
        raise SweepError(f"--format {kind} writes a file; add --output FILE")
    if kind == "optuna" and output is not None:
        return _export_study(directory, output)
    sweep = load_noting(directory)
    rows = epoch_rows(sweep) if epochs else trial_rows(sweep)
    if kind == "parquet" and output is not None:
        with writing(output):
            write_parquet(rows, output)
    else:
        if kind == "csv":
            text = rows_to_csv(rows)
        else:
            text = json.dumps(replace_non_finite(rows), default=str) + "\n"
        if output is None:
            console.out(text, end="", highlight=False)
            return FINISHED
        with writing(output):
            write_text(output, text)
    print_line(f"{output}: {len(rows)} rows")
    return FINISHED


def _export_study(directory: Path, output: Path) -> int:
    from sweeps.report.optuna_files import SQLITE_SUFFIXES, export_study

    sweep = load_noting(directory)
    with writing(output):
        export_study(sweep, output)
    address = f"sqlite:///{output}" if output.suffix in SQLITE_SUFFIXES else output
    print_line(f"{output}: open it with optuna-dashboard (pip install optuna-dashboard):")
    print_line(f"optuna-dashboard {quote_word(address)}")
    return FINISHED


@click.command()
@DIRECTORY
@exits
def plot(directory: Path) -> int:
    """Draws the trials and the best curves in the terminal.

    The first chart shows the best epoch of every trial, the second one the learning curves of the
    best trials of the sweep in DIRECTORY.

    Example: sweep plot experiments/digits_asha
    """
    sweep = load_noting(directory)
    if sweep.best is None:
        raise SweepError(f"{directory}: {sweep.missing_best}")
    width = min(console.width, MAX_WIDTH)
    print_line(f"{sweep.metric} of each trial's best epoch (o finished, x not, - best so far)")
    for line in draw_chart(_history(sweep), width=width, height=PLOT_HEIGHT, x_label="trial"):
        print_line(line)
    print_line(f"{sweep.best_label}: {best_line(sweep)}")
    print_line("")
    shown = [result for result in sweep.results[:MAX_CURVES] if result.best is not None]
    print_line(f"{sweep.metric} of the best {len(shown)} trials by epoch")
    curves = [
        Series(
            str(rank),
            [(r["epoch"], r[sweep.metric]) for r in result.rows if is_scored(r, sweep.metric)],
        )
        for rank, result in enumerate(shown, start=1)
    ]
    for line in draw_chart(curves[::-1], width=width, height=PLOT_HEIGHT, x_label="epoch"):
        print_line(line)
    for rank, result in enumerate(shown, start=1):
        score = format_metric(result.best, sweep.metric)
        print_line(f"{rank}: {result.record.id} {result.record.state} {score}")
    return FINISHED


def _history(sweep: LoadedSweep) -> list[Series]:
    """Returns the scores by trial number, and the best score up to each trial."""
    scored = sorted(
        (result.record.number, result.best[sweep.metric], result.record.state)
        for result in sweep.results
        if result.best is not None
    )
    better = max if sweep.mode == "max" else min
    best_so_far: list[tuple[float, float]] = []
    for number, value, _ in scored:
        best = better(best_so_far[-1][1], value) if best_so_far else value
        best_so_far.append((number, best))
    points: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for number, value, state in scored:
        points[state == "finished"].append((number, value))
    return [
        Series("-", best_so_far),
        Series("x", points[False]),
        Series("o", points[True]),
    ]


@click.command()
@DIRECTORY
@click.option(
    "--output",
    type=UserPath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to FILE instead of report.html in DIRECTORY.",
)
@exits
def report(directory: Path, output: Path | None) -> int:
    """Writes report.html, one file that opens offline.

    The file is written to DIRECTORY, the directory of the sweep.

    Example: sweep report experiments/digits_asha
    """
    from sweeps.report.page import write_page

    sweep = load_noting(directory)
    if output is not None:
        with writing(output):
            path = write_page(sweep, output)
        print_line(f"report: {quote_word(path)}")
        return FINISHED
    try:
        path = write_page(sweep)
    except OSError as error:
        if error.strerror is None:
            raise
        raise SweepError(
            f"{directory}: cannot be written to: {error.strerror}; add --output FILE"
        ) from error
    print_line(f"report: {quote_word(path)}")
    return FINISHED


@click.command()
@DIRECTORY
@click.option("--dry-run", is_flag=True, help="Only print what would be deleted.")
@AS_JSON
@exits
def gc(directory: Path, dry_run: bool, as_json: bool) -> int:
    """Deletes files that the sweep no longer needs.

    These are weights of ended trials that keep.trials in the search file does not keep, temporary
    files, and Ray Tune's own files. A sweep that is running is refused.

    Example: sweep gc experiments/digits_asha --dry-run
    """
    from sweeps.execution.resume import open_for_resume
    from sweeps.results.cleanup import find_removable, freed_bytes
    from sweeps.results.stored_spec import open_sweep

    # A dry run needs no lock: it changes nothing, and the sweep may be running.
    opening = nullcontext(open_sweep(directory)) if dry_run else open_for_resume(directory)
    with opening as (spec, records):
        load_noting(directory)
        removable = find_removable(directory.absolute(), spec, records)
        freed = freed_bytes([item.path for item in removable])
        failed = [] if dry_run else _delete_all(removable)
    if as_json:
        removable = [item for item in removable if item not in failed]
        paths = [{"path": str(item.path), "kind": item.kind} for item in removable]
        print_json({"deleted": not dry_run, "bytes": freed, "paths": paths})
        return SOME_FAILED if failed else FINISHED
    if dry_run:
        for item in removable:
            print_line(f"{item.kind:9}  {quote_word(item.path)}")
    counts = Counter(item.kind for item in removable if item not in failed)
    kinds = ", ".join(f"{count} {KIND_NAMES[kind]}" for kind, count in sorted(counts.items()))
    verb = "would delete" if dry_run else "deleted"
    print_line(f"{verb} {kinds}: {format_size(freed)}" if counts else "nothing to delete")
    return SOME_FAILED if failed else FINISHED


def _delete_all(removable: list[Removable]) -> list[Removable]:
    """Deletes files; prints and returns those that cannot be deleted."""
    failed = []
    for item in removable:
        try:
            delete(item.path)
        except OSError as error:
            print_note(f"{item.path}: cannot be deleted: {error.strerror}")
            failed.append(item)
    return failed
