"""Verbs that make something of a whole sweep: export, plot, report and gc."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import click

from sweeps.cli.options import AS_JSON, DIRECTORY, FINISHED, exits
from sweeps.cli.status import best_line
from sweeps.report.text_charts import Series, chart
from sweeps.results.loaded_sweep import LoadedSweep, load
from sweeps.sweep_dir.errors import SweepError
from sweeps.terminal.console import console, print_json, print_line
from sweeps.terminal.formatting import format_metric, format_size, quote_path, replace_non_finite
from trainable.atomic_files import write_text

CURVES = 5
"""Trials whose curves `sweep plot` draws."""
KINDS = {
    "weights": "checkpoints",
    "temporary": "temporary files",
    "tune": "files and checkpoint directories of Tune's",
}
"""What `sweep gc` calls the kinds of what it deletes."""


@click.command()
@DIRECTORY
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "json", "parquet", "optuna"]),
    default="csv",
    show_default=True,
    help="optuna: a study that optuna-dashboard opens; SQLite if FILE ends in .db or .sqlite3, "
    "else a journal.",
)
@click.option("--output", type=click.Path(path_type=Path), help="FILE; without it, the terminal.")
@click.option("--epochs", is_flag=True, help="A row an epoch instead of a row a trial.")
@exits
def export(directory: Path, kind: str, output: Path | None, epochs: bool) -> int:
    """Exports the trials of the sweep in DIRECTORY, best first.

    Example: sweep export experiments/digits_asha --format parquet --output trials.parquet
    """
    from sweeps.results.export import epoch_rows, rows_to_csv, trial_rows, write_parquet

    if kind == "optuna" and epochs:
        raise SweepError("a study has the epochs of its trials already: leave out --epochs")
    if output is None and kind in {"parquet", "optuna"}:
        raise SweepError(f"--format {kind} makes a file: add --output FILE")
    if kind == "optuna" and output is not None:
        from sweeps.report.optuna_files import SQLITE, export_study

        export_study(directory, output)
        address = f"sqlite:///{output}" if output.suffix in SQLITE else str(output)
        print_line(f"{output}: to look at it, pip install optuna-dashboard")
        print_line(f"optuna-dashboard {shlex.quote(address)}")
        return FINISHED
    sweep = load(directory)
    rows = epoch_rows(sweep) if epochs else trial_rows(sweep)
    if kind == "parquet" and output is not None:
        write_parquet(rows, output)
    else:
        text = (
            rows_to_csv(rows)
            if kind == "csv"
            else json.dumps(replace_non_finite(rows), default=str) + "\n"
        )
        if output is None:
            console.out(text, end="", highlight=False)
            return FINISHED
        write_text(output, text)
    print_line(f"{output}: {len(rows)} rows")
    return FINISHED


@click.command()
@DIRECTORY
@exits
def plot(directory: Path) -> int:
    """Draws the sweep in DIRECTORY in the terminal: its trials, and the curves of the best.

    Example: sweep plot experiments/digits_asha
    """
    sweep = load(directory)
    if sweep.best is None:
        raise SweepError(f"{directory}: no trial has completed an epoch")
    width = min(console.width, 100)
    print_line(f"{sweep.metric} of each trial's best epoch; o finished, x not, - the best so far")
    for line in chart(_history(sweep), width=width, height=14, x_label="trial"):
        print_line(line)
    print_line(f"{sweep.best_label}: {best_line(sweep)}")
    print_line("")
    shown = [result for result in sweep.results[:CURVES] if result.best is not None]
    print_line(f"{sweep.metric} of the best {len(shown)} by epoch")
    curves = [
        Series(
            str(rank), [(r["epoch"], r[sweep.metric]) for r in result.rows if sweep.metric in r]
        )
        for rank, result in enumerate(shown, start=1)
    ]
    for line in chart(curves[::-1], width=width, height=14, x_label="epoch"):
        print_line(line)
    for rank, result in enumerate(shown, start=1):
        best = format_metric(result.best, sweep.metric)
        print_line(f"{rank}: {result.record.id} {result.record.state} {best}")
    return FINISHED


def _history(sweep: LoadedSweep) -> list[Series]:
    """The trials by number, and the best of them up to each."""
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
@exits
def report(directory: Path) -> int:
    """Writes report.html of the sweep in DIRECTORY: one file, to be opened without a network.

    Example: sweep report experiments/digits_asha
    """
    from sweeps.report.optuna_study import import_importances_alone

    import_importances_alone()
    from sweeps.report.page import write_report

    print_line(f"report: {quote_path(write_report(directory))}")
    return FINISHED


@click.command()
@DIRECTORY
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@AS_JSON
@exits
def gc(directory: Path, dry_run: bool, as_json: bool) -> int:
    """Deletes what the sweep in DIRECTORY could do without; never while it is running.

    Weights of ended trials that keep.trials of its search.yaml does not keep, temporary files,
    and what Tune wrote for itself.

    Example: sweep gc experiments/digits_asha --dry-run
    """
    from sweeps.execution.resume import open_for_resume
    from sweeps.results.cleanup import find_removable, freed_bytes
    from sweeps.results.retention import delete
    from sweeps.results.stored_spec import open_sweep

    # To say what could go, nobody has to stop, and not even a lock file is made.
    held = nullcontext(open_sweep(directory)) if dry_run else open_for_resume(directory)
    with held as (spec, records):
        found = find_removable(directory.absolute(), spec, records)
        freed = freed_bytes([leftover.path for leftover in found])
        if not dry_run:
            for leftover in found:
                delete(leftover.path)
    if as_json:
        paths = [{"path": str(entry.path), "kind": entry.kind} for entry in found]
        print_json({"deleted": not dry_run, "bytes": freed, "paths": paths})
        return FINISHED
    if dry_run:
        for leftover in found:
            print_line(f"{leftover.kind:9}  {quote_path(leftover.path)}")
    counts = Counter(leftover.kind for leftover in found)
    kinds = ", ".join(f"{count} {KINDS[kind]}" for kind, count in sorted(counts.items()))
    verb = "would delete" if dry_run else "deleted"
    print_line(f"{verb} {kinds}: {format_size(freed)}" if found else "nothing to delete")
    return FINISHED
