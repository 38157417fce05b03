"""Commands that run or pause a sweep: run, resume, continue, retry and stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from sweeps.cli.options import (
    ADDRESS,
    ALLOW_CUSTOM_MODEL,
    DIRECTORY,
    FINISHED,
    PATH,
    SET_IN_SEARCH,
    SOME_FAILED,
    SWEEP_DIRECTORY,
    VERBOSE,
    exits,
)
from sweeps.results.commands import read_commands
from sweeps.results.outcome import Outcome
from sweeps.storage.location import upload
from sweeps.sweep_dir.layout import SWEEP_FILE, SweepLayout
from sweeps.sweep_dir.records import ENDED, Cause
from sweeps.terminal.console import print_line


@click.command()
@click.argument("search_file", type=PATH, required=False)
@click.option(
    "--resume",
    "directory",
    type=SWEEP_DIRECTORY,
    metavar="DIRECTORY",
    help="Resume this sweep instead of starting one. SEARCH_FILE may then change the totals, "
    "budget, resources and policies.",
)
@click.option(
    "--or-resume",
    is_flag=True,
    help="Resume the sweep that has the name in SEARCH_FILE if it exists, so that the command can "
    "be repeated.",
)
@SET_IN_SEARCH
@ALLOW_CUSTOM_MODEL
@ADDRESS
@VERBOSE
@exits
def run(
    search_file: Path | None,
    directory: Path | None,
    or_resume: bool,
    assignments: tuple[str, ...],
    **launch_options: Any,
) -> int:
    """Runs a sweep.

    SEARCH_FILE describes the sweep: the training config, the search space and how to search it.

    Example: sweep run configs/search.yaml --set name=small --set tune.num_samples=4
    """
    if search_file is None and directory is None:
        raise click.UsageError("a search file, or --resume and a sweep directory, is required")
    from sweeps.spec.overrides import parse_assignments
    from sweeps.spec.search_spec import SearchSpec

    values = parse_assignments(assignments, SearchSpec)
    from sweeps.spec.load import load_search

    if directory is None:
        assert search_file is not None
        spec = load_search(search_file, values)
        if or_resume:
            directory = _find_existing(spec.training.checkpoint.dir, spec.sweep_name)
        if directory is None:
            from sweeps.execution.launch import start_sweep

            return _finish(start_sweep(spec, **launch_options))
    return _resume(directory, launch_options, search_file=search_file, assignments=values)


@click.command()
@DIRECTORY
@click.option("--num-samples", type=int, help="Change the total number of configurations.")
@click.option("--time-budget", help="Set the budget of this run, e.g. 90s, 30m, 4h, 2d.")
@click.option("--max-concurrent-trials", type=int, help="Change the limit of concurrent trials.")
@click.option("--cpu", type=float, help="Change the number of CPUs per trial.")
@click.option("--gpu", type=float, help="Change the number of GPUs per trial, e.g. 0.5.")
@SET_IN_SEARCH
@ALLOW_CUSTOM_MODEL
@ADDRESS
@VERBOSE
@exits
def resume(
    directory: Path,
    assignments: tuple[str, ...],
    allow_custom_model: bool,
    address: str | None,
    **changes: Any,
) -> int:
    """Resumes a paused or interrupted sweep.

    The trials of the sweep in DIRECTORY that were interrupted run first, then the remaining ones.
    A finished sweep continues if --num-samples is raised.

    Example: sweep resume experiments/digits_asha --num-samples 40
    """
    from sweeps.spec.overrides import parse_assignments
    from sweeps.spec.search_spec import SearchSpec

    values = parse_assignments(assignments, SearchSpec)
    resources = {key: changes.pop(key) for key in ("cpu", "gpu")}
    launch_options = {"allow_custom_model": allow_custom_model, "address": address}
    return _resume(
        directory, launch_options, assignments=values, tune=changes, resources=resources
    )


def _find_existing(parent: str, name: str | None) -> Path | None:
    """Returns the directory of the sweep with this name if it exists."""
    if name is None:
        raise click.UsageError("--or-resume requires a name in the search file")
    from sweeps.storage.location import join_location, resolve

    directory = resolve(join_location(parent, name))
    return directory if (directory / SWEEP_FILE).exists() else None


def _resume(
    directory: Path,
    launch_options: dict[str, Any],
    *,
    search_file: Path | None = None,
    assignments: dict[str, Any] | None = None,
    tune: dict[str, Any] | None = None,
    resources: dict[str, Any] | None = None,
) -> int:
    from sweeps.execution.resume import change_settings, merge_edited, open_for_resume

    with open_for_resume(directory) as (spec, records):
        if search_file is not None or assignments:
            edited = search_file or SweepLayout(directory).search_file
            spec = merge_edited(spec, edited, directory, assignments)
        spec = change_settings(spec, tune or {}, resources or {})
        all_created = len(records) >= spec.trials
        if all_created and all(record.state in ENDED for record in records):
            print_line(f"all {len(records)} trials of {directory} have ended")
            more = ("--num-samples", str(len(records) * 2))
            print_line(f"add more with: {read_commands(directory).run_again('resume', *more)}")
        from sweeps.execution.launch import resume_sweep

        return _finish(resume_sweep(spec, directory, records, **launch_options))


@click.command("continue")
@DIRECTORY
@click.option(
    "--top", type=click.IntRange(min=1), required=True, help="The number of best trials."
)
@click.option(
    "--epochs", type=click.IntRange(min=1), required=True, help="New total number of epochs."
)
@ALLOW_CUSTOM_MODEL
@ADDRESS
@VERBOSE
@exits
def continue_(directory: Path, top: int, epochs: int, **launch_options: Any) -> int:
    """Trains the best trials for more epochs.

    The sweep in DIRECTORY must have finished. The trials continue from their latest.pt.

    Example: sweep continue experiments/digits_asha --top 3 --epochs 50
    """
    from sweeps.execution.resume import open_for_resume, reopen_best

    with open_for_resume(directory) as (spec, records):
        extended = reopen_best(spec, directory, records, top=top, epochs=epochs)
        from sweeps.execution.launch import resume_sweep

        return _finish(resume_sweep(extended, directory, records, recorded=spec, **launch_options))


@click.command()
@DIRECTORY
@click.option(
    "--cause",
    metavar="CAUSE",
    help=f"Only retry trials that failed for this cause: {', '.join(get_args(Cause))}.",
)
@ALLOW_CUSTOM_MODEL
@ADDRESS
@VERBOSE
@exits
def retry(directory: Path, cause: str | None, **launch_options: Any) -> int:
    """Retries failed trials from their last checkpoint.

    DIRECTORY is the directory of the sweep.

    Example: sweep retry experiments/digits_asha --cause oom
    """
    from sweeps.execution.resume import open_for_resume, reopen_failed

    with open_for_resume(directory) as (spec, records):
        reopened = reopen_failed(records, cause)
        if not reopened:
            with_cause = f" with cause {cause}" if cause else ""
            print_line(f"no trial of {directory} has failed{with_cause}")
            return FINISHED
        from sweeps.execution.launch import resume_sweep

        return _finish(resume_sweep(spec, directory, records, is_retry=True, **launch_options))


@click.command()
@DIRECTORY
@exits
def stop(directory: Path) -> int:
    """Pauses a running sweep.

    The running trials of the sweep in DIRECTORY finish their epoch and save a checkpoint, if
    checkpoint.enabled is true.

    Example: sweep stop experiments/digits_asha
    """
    from sweeps.storage.lock import is_running

    record = SweepLayout(directory).read_sweep()
    if not is_running(directory):
        print_line(f"{directory} is not running; it is {record.state}")
        return FINISHED
    SweepLayout(directory).stop_file.touch()
    upload(SweepLayout(directory).stop_file)
    driver = "the sweep" if record.pid is None else f"process {record.pid} on {record.host}"
    print_line(f"asked {driver} to pause; running trials finish their epoch first")
    print_line(f"resume it later with: {read_commands(directory).run_again('resume')}")
    return FINISHED


def _finish(outcome: Outcome) -> int:
    """Writes the report, prints the summary and returns the exit code."""
    from sweeps.cli.summary import print_summary, write_final_report
    from sweeps.trials.pause import EXIT_CODES

    write_final_report(outcome)
    print_summary(outcome)
    if outcome.paused is not None:
        return EXIT_CODES[outcome.paused]
    failed = any(result.record.state == "failed" for result in outcome.results)
    return SOME_FAILED if failed else FINISHED
