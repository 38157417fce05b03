"""The work of `sweep resume`, `extend` and `retry`, and the final report, also for Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweeps.execution.resume import (
    change_settings,
    merge_edited,
    open_for_resume,
    reopen_best,
    reopen_failed,
)
from sweeps.execution.run_options import RunOptions
from sweeps.results.commands import read_commands
from sweeps.results.outcome import Outcome
from sweeps.sweep_dir.layout import REPORT, SweepLayout
from sweeps.sweep_dir.records import ENDED
from sweeps.terminal.console import print_line


def resume(
    directory: Path,
    options: RunOptions,
    *,
    search_file: Path | None = None,
    assignments: dict[str, Any] | None = None,
    tune: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
) -> Outcome:
    """Resumes a sweep until it has finished or is paused again.

    Args:
        directory: The sweep directory.
        options: How it is run.
        search_file: An edited search file; None means the sweep's own.
        assignments: Dotted key of the search file -> value.
        tune: Keys of `tune` -> value; None leaves a value as it is.
        resources: Keys of `resources` -> value; None leaves a value as it is.

    Raises:
        TuneSweepsError: Another process runs the sweep, or a setting must not change.
    """
    with open_for_resume(directory) as (spec, records):
        if search_file is not None or assignments:
            edited = search_file or SweepLayout(directory).search_file
            spec = merge_edited(spec, edited, directory, assignments)
        spec = change_settings(spec, tune or {}, resources or {})
        added = SweepLayout(directory).read_sweep().added
        all_created = len(records) >= spec.count_trials(added, records)
        if all_created and all(record.state in ENDED for record in records):
            print_line(f"all {len(records)} trials of {directory} have ended")
            more = ("--num-samples", str(len(records) * 2))
            print_line(f"add more with: {read_commands(directory).run_again('resume', *more)}")
        from sweeps.execution.launch import resume_sweep  # imports Ray

        return resume_sweep(spec, directory, records, options)


def extend(
    directory: Path,
    options: RunOptions,
    *,
    epochs: int,
    top: int | None = None,
    trials: Sequence[str] = (),
) -> Outcome:
    """Trains the best trials of a finished sweep, or those that are named, for more epochs.

    Args:
        directory: The sweep directory.
        options: How it is run.
        epochs: New total number of epochs.
        top: The number of best trials; None for those of `trials`.
        trials: The beginnings of the ids of the trials; empty for the best.

    Raises:
        TuneSweepsError: The sweep has not finished, or a trial cannot be extended.
    """
    with open_for_resume(directory) as (spec, records):
        extended = reopen_best(spec, directory, records, epochs=epochs, top=top, trials=trials)
        from sweeps.execution.launch import resume_sweep

        return resume_sweep(extended, directory, records, options, recorded=spec)


def retry(directory: Path, options: RunOptions, *, cause: str | None) -> Outcome | None:
    """Retries failed trials from their last checkpoint.

    Args:
        directory: The sweep directory.
        options: How it is run.
        cause: Only retry trials that failed for this cause.

    Returns:
        The outcome; None if no trial has failed so, after a line that says it.

    Raises:
        TuneSweepsError: Another process runs the sweep, or there is no such cause.
    """
    with open_for_resume(directory) as (spec, records):
        if not reopen_failed(records, cause):
            with_cause = f" with cause {cause}" if cause else ""
            print_line(f"no trial of {directory} has failed{with_cause}")
            return None
        from sweeps.execution.launch import resume_sweep

        return resume_sweep(spec, directory, records, options, is_retry=True)


def write_final_report(outcome: Outcome) -> None:
    """Writes `report.html` of a finished sweep.

    Nothing depends on the report: any error in drawing it is printed, and the sweep counts as
    finished.
    """
    if outcome.paused is not None:
        return
    from sweeps.report.page import write_report

    try:
        write_report(outcome.directory)
    except Exception as error:  # noqa: BLE001 - see above
        print_line(f"note: {REPORT} was not written: {type(error).__name__}: {error}")
