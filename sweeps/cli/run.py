"""Commands that run or pause a sweep: run, resume, extend, retry and pause."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from sweeps.cli.options import (
    ADDRESS,
    ALLOW_CUSTOM_MODEL,
    DIRECTORY,
    FINISHED,
    SET_IN_SEARCH,
    SOME_FAILED,
    SWEEP_DIRECTORY,
    TRIAL_IDS,
    VERBOSE,
    exits,
)
from sweeps.cli.shell.parameter_types import SearchFile
from sweeps.results.commands import read_commands
from sweeps.results.outcome import Outcome
from sweeps.sweep_dir.layout import SWEEP_FILE, SweepLayout
from sweeps.sweep_dir.records import Cause
from sweeps.terminal.console import print_line


@click.command()
@click.argument("search_file", type=SearchFile(), required=False)
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
            from sweeps.execution.run_options import RunOptions

            return _finish(start_sweep(spec, RunOptions(**launch_options)))
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
    A finished sweep goes on if --num-samples is raised.

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
    from sweeps.execution import verbs
    from sweeps.execution.run_options import RunOptions

    outcome = verbs.resume(
        directory,
        RunOptions(**launch_options),
        search_file=search_file,
        assignments=assignments,
        tune=tune,
        resources=resources,
    )
    return _finish(outcome)


@click.command()
@DIRECTORY
@click.option("--top", type=click.IntRange(min=1), help="Extend this number of the best trials.")
@click.option(
    "--trials",
    type=TRIAL_IDS,
    help="Extend these trials in the place of the best: the beginnings of their ids.",
)
@click.option(
    "--epochs", type=click.IntRange(min=1), required=True, help="New total number of epochs."
)
@ALLOW_CUSTOM_MODEL
@ADDRESS
@VERBOSE
@exits
def extend(
    directory: Path,
    top: int | None,
    trials: tuple[str, ...] | None,
    epochs: int,
    **launch_options: Any,
) -> int:
    """Trains the best trials for more epochs.

    The sweep in DIRECTORY must have finished. --top or --trials chooses the trials, which go on
    from their latest.pt. `sweep continue` is another name of this command.

    Example: sweep extend experiments/digits_asha --top 3 --epochs 50
    """
    from sweeps.execution import verbs
    from sweeps.execution.run_options import RunOptions

    if (top is None) == (trials is None):
        raise click.UsageError("one of --top and --trials is required")
    options = RunOptions(**launch_options)
    return _finish(verbs.extend(directory, options, epochs=epochs, top=top, trials=trials or ()))


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
    from sweeps.execution import verbs
    from sweeps.execution.run_options import RunOptions

    outcome = verbs.retry(directory, RunOptions(**launch_options), cause=cause)
    return FINISHED if outcome is None else _finish(outcome)


@click.command()
@DIRECTORY
@exits
def pause(directory: Path) -> int:
    """Pauses a running sweep.

    The running trials of the sweep in DIRECTORY finish their epoch and save a checkpoint, if
    checkpoint.enabled is true. `sweep stop` is another name of this command.

    Example: sweep pause experiments/digits_asha
    """
    from sweeps.steering.sweep_pause import request_pause

    record = SweepLayout(directory).read_sweep()
    if not request_pause(directory):
        print_line(f"{directory} is not running; it is {record.state}")
        return FINISHED
    driver = "the sweep" if record.pid is None else f"process {record.pid} on {record.host}"
    print_line(f"asked {driver} to pause; running trials finish their epoch first")
    print_line(f"resume it later with: {read_commands(directory).run_again('resume')}")
    return FINISHED


def _finish(outcome: Outcome) -> int:
    """Writes the report, prints the summary and returns the exit code."""
    from sweeps.cli.summary import print_summary
    from sweeps.execution.verbs import write_final_report
    from sweeps.trials.pause import EXIT_CODES

    write_final_report(outcome)
    print_summary(outcome)
    if outcome.paused is not None:
        return EXIT_CODES[outcome.paused]
    failed = any(result.record.state == "failed" for result in outcome.results)
    return SOME_FAILED if failed else FINISHED
