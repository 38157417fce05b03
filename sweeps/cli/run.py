"""Verbs that run trials: run, resume, continue, retry; and stop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeps.cli.options import (
    ADDRESS,
    ALLOW_CUSTOM_MODEL,
    DIRECTORY,
    FINISHED,
    PLACE,
    SET_IN_SEARCH,
    SOME_FAILED,
    VERBOSE,
    exits,
)
from sweeps.results.outcome import Outcome
from sweeps.storage.location import upload
from sweeps.sweep_dir.layout import SWEEP_FILE, SweepLayout
from sweeps.sweep_dir.records import ENDED
from sweeps.terminal.console import print_line

if TYPE_CHECKING:
    from sweeps.spec.search_spec import SearchSpec


@click.command()
@click.argument("search_file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--resume",
    "directory",
    type=PLACE,
    help="Go on with this sweep instead of starting one; SEARCH_FILE may then change its "
    "totals, budget, resources and policies.",
)
@click.option(
    "--or-resume",
    is_flag=True,
    help="Go on with the sweep of this name where there is one, so that the same command can be "
    "given again.",
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
    **how: Any,
) -> int:
    """Runs the sweep that SEARCH_FILE describes.

    Example: sweep run configs/search.yaml --set tune.num_samples=4
    """
    if search_file is None and (directory is None or assignments):
        raise click.UsageError("give a search file, or --resume and a sweep's directory")
    from sweeps.spec.overrides import parse_assignments

    values = parse_assignments(assignments)
    from sweeps.spec.load import load_search

    if directory is None:
        assert search_file is not None
        spec = load_search(search_file, values)
        if or_resume and spec.sweep_name is None:
            raise click.UsageError("--or-resume needs the sweep's name in the search file")
        directory = _existing(spec) if or_resume else None
        if directory is None:
            from sweeps.execution.launch import start_sweep

            return _finish(start_sweep(spec, **how))
    return _resume(directory, how, search_file=search_file, assignments=values)


@click.command()
@DIRECTORY
@click.option("--num-samples", type=int, help="New total number of trials.")
@click.option("--time-budget", help="New budget for this run, e.g. 90s, 30m, 4h, 2d.")
@click.option("--max-concurrent-trials", type=int, help="New limit of trials at once.")
@click.option("--cpu", type=float, help="New share of CPUs a trial.")
@click.option("--gpu", type=float, help="New share of a card a trial.")
@ALLOW_CUSTOM_MODEL
@ADDRESS
@VERBOSE
@exits
def resume(directory: Path, allow_custom_model: bool, address: str | None, **changes: Any) -> int:
    """Goes on with the sweep in DIRECTORY: interrupted trials first, then those still to come.

    A finished sweep goes on if its total is raised.

    Example: sweep resume experiments/digits_asha --num-samples 40
    """
    resources = {key: changes.pop(key) for key in ("cpu", "gpu")}
    how = {"allow_custom_model": allow_custom_model, "address": address}
    return _resume(directory, how, tune=changes, resources=resources)


def _existing(spec: SearchSpec) -> Path | None:
    """The directory of the sweep of this name, if there is one."""
    from sweeps.storage.location import join_location, resolve

    assert spec.sweep_name is not None
    directory = resolve(join_location(spec.training.checkpoint.dir, spec.sweep_name))
    return directory if (directory / SWEEP_FILE).exists() else None


def _resume(
    directory: Path,
    how: dict[str, Any],
    *,
    search_file: Path | None = None,
    assignments: dict[str, Any] | None = None,
    tune: dict[str, Any] | None = None,
    resources: dict[str, Any] | None = None,
) -> int:
    from sweeps.execution.resume import change_settings, merge_edited, open_for_resume

    with open_for_resume(directory) as (spec, records):
        if search_file is not None:
            spec = merge_edited(spec, search_file, directory, assignments)
        spec = change_settings(spec, tune or {}, resources or {})
        made = len(records) >= spec.trials
        if made and all(record.state in ENDED for record in records):
            print_line(f"all {len(records)} trials of {directory} have ended")
            print_line(f"to add more: sweep resume {directory} --num-samples {len(records) * 2}")
        from sweeps.execution.launch import resume_sweep

        return _finish(resume_sweep(spec, directory, records, **how))


@click.command("continue")
@DIRECTORY
@click.option("--top", type=click.IntRange(min=1), required=True, help="How many of the best.")
@click.option("--epochs", type=click.IntRange(min=1), required=True, help="New total epochs.")
@ALLOW_CUSTOM_MODEL
@ADDRESS
@VERBOSE
@exits
def continue_(directory: Path, top: int, epochs: int, **how: Any) -> int:
    """Trains the best trials of a finished sweep for more epochs, from their latest.pt.

    Example: sweep continue experiments/digits_asha --top 3 --epochs 50
    """
    from sweeps.execution.resume import open_for_resume, reopen_best

    with open_for_resume(directory) as (spec, records):
        longer = reopen_best(spec, directory, records, top=top, epochs=epochs)
        from sweeps.execution.launch import resume_sweep

        return _finish(resume_sweep(longer, directory, records, recorded=spec, **how))


@click.command()
@DIRECTORY
@click.option("--cause", help="Only trials that failed of this: oom, nan, lost_worker, error...")
@ALLOW_CUSTOM_MODEL
@ADDRESS
@VERBOSE
@exits
def retry(directory: Path, cause: str | None, **how: Any) -> int:
    """Tries failed trials of the sweep in DIRECTORY again, from their last checkpoint.

    Example: sweep retry experiments/digits_asha --cause oom
    """
    from sweeps.execution.resume import open_for_resume, reopen_failed

    with open_for_resume(directory) as (spec, records):
        chosen = reopen_failed(directory, records, cause)
        if not chosen:
            print_line(f"no trial of {directory} has failed" + (f" of {cause}" if cause else ""))
            return FINISHED
        from sweeps.execution.launch import resume_sweep

        return _finish(resume_sweep(spec, directory, records, **how))


@click.command()
@DIRECTORY
@exits
def stop(directory: Path) -> int:
    """Pauses the running sweep in DIRECTORY: its trials finish their epoch and save.

    Example: sweep stop experiments/digits_asha
    """
    from sweeps.storage.lock import is_running

    record = SweepLayout(directory).read_sweep()
    if not is_running(directory):
        print_line(f"{directory} is not running; it is {record.state}")
        return FINISHED
    SweepLayout(directory).stop_file.touch()
    upload(SweepLayout(directory).stop_file)
    print_line(f"asked process {record.pid} on {record.host} to pause")
    print_line(f"to go on afterwards: sweep resume {directory}")
    return FINISHED


def _finish(outcome: Outcome) -> int:
    """Prints what the sweep came to; returns the exit code."""
    from sweeps.cli.summary import print_summary, write_final_report
    from sweeps.trials.pause import EXIT_CODES

    write_final_report(outcome)
    print_summary(outcome)
    if outcome.paused is not None:
        return EXIT_CODES[outcome.paused]
    failed = any(result.record.state == "failed" for result in outcome.results)
    return SOME_FAILED if failed else FINISHED
