"""Commands that send requests to a sweep: trial stop, pause, resume, retry and add; set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from sweeps.cli.options import DIRECTORY, FINISHED, SIGINT_CODE, TRIAL, TRIAL_ID, exits
from sweeps.cli.setup.verbs import VerbGroup
from sweeps.cli.shell.parameter_types import SettingAssignment, TrainingAssignment
from sweeps.results.commands import read_commands
from sweeps.results.loaded_sweep import current_state
from sweeps.steering.request import EPOCH, Answer, Verb
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.terminal.commands import sweep_command
from sweeps.terminal.console import print_line
from sweeps.terminal.formatting import format_value

NO_WAIT = click.option(
    "--no-wait", is_flag=True, help="Do not wait for the answer; print the id of the request."
)


@click.group(cls=VerbGroup)
def trial() -> None:
    """Steers single trials of a sweep, running or not.

    Example: sweep trial stop experiments/digits_asha 1b45
    """


def request(
    directory: Path,
    verb: Verb,
    trial_name: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    *,
    no_wait: bool,
) -> Answer | None:
    """Sends a request to a sweep; an interrupt takes it back.

    Returns:
        The answer; None if nothing is waited for, or after an interrupt.

    Raises:
        SweepError: The request is refused, or there is no such sweep or trial.
    """
    from sweeps.steering.client import answer_without_driver, submit, wait_for, withdraw

    sent = submit(directory, verb, trial_name, arguments)
    if no_wait:
        answer_without_driver(directory, sent)
        print_line(f"request {sent.id} is sent")
        return None
    try:
        return wait_for(directory, sent)
    except KeyboardInterrupt:
        if withdraw(directory, sent):
            print_line("the request is withdrawn")
        else:
            print_line(f"the sweep has taken the request {sent.id}")
        raise click.exceptions.Exit(SIGINT_CODE) from None


def is_running(directory: Path) -> bool:
    """Whether a driver runs the sweep."""
    return current_state(directory, SweepLayout(directory).read_sweep()) == "running"


@trial.command()
@DIRECTORY
@TRIAL
@NO_WAIT
@exits
def stop(directory: Path, trial: str, no_wait: bool) -> int:
    """Stops a trial for good: it ends after its epoch.

    TRIAL is the beginning of a trial's id in the sweep in DIRECTORY. It counts as stopped by hand.

    Example: sweep trial stop experiments/digits_asha 1b45
    """
    answer = request(directory, "stop", trial, no_wait=no_wait)
    if answer is not None:
        print_line(f"trial {answer.trial} {_describe_moment(answer, 'ends', 'is stopped')}")
    return FINISHED


@trial.command()
@DIRECTORY
@TRIAL
@NO_WAIT
@exits
def pause(directory: Path, trial: str, no_wait: bool) -> int:
    """Pauses a trial: it is saved after its epoch and gives its slot to another.

    TRIAL is the beginning of a trial's id in the sweep in DIRECTORY. It stays paused, also when
    the sweep is resumed, until `sweep trial resume`.

    Example: sweep trial pause experiments/digits_asha 1b45
    """
    answer = request(directory, "pause", trial, no_wait=no_wait)
    if answer is not None:
        print_line(f"trial {answer.trial} {_describe_moment(answer, 'pauses', 'is paused')}")
        again = sweep_command("trial", "resume", directory, str(answer.trial))
        print_line(f"  to let it go on: {again}")
    return FINISHED


@trial.command("resume")
@DIRECTORY
@TRIAL
@NO_WAIT
@exits
def resume_(directory: Path, trial: str, no_wait: bool) -> int:
    """Lets a trial go on that was paused by hand.

    TRIAL is the beginning of a trial's id in the sweep in DIRECTORY.

    Example: sweep trial resume experiments/digits_asha 1b45
    """
    answer = request(directory, "resume", trial, no_wait=no_wait)
    if answer is not None:
        if is_running(directory):
            print_line(f"trial {answer.trial} goes on as soon as a slot is free")
        else:
            print_line(f"trial {answer.trial} goes on with the sweep: {_resume(directory)}")
    return FINISHED


@trial.command()
@DIRECTORY
@TRIAL
@NO_WAIT
@exits
def retry(directory: Path, trial: str, no_wait: bool) -> int:
    """Retries a failed trial from its last checkpoint.

    TRIAL is the beginning of a trial's id in the sweep in DIRECTORY.

    Example: sweep trial retry experiments/digits_asha 1b45
    """
    answer = request(directory, "retry", trial, no_wait=no_wait)
    if answer is not None:
        _print_start(directory, f"trial {answer.trial} is retried")
    return FINISHED


@trial.command()
@DIRECTORY
@click.option(
    "--set",
    "assignments",
    type=TrainingAssignment(),
    multiple=True,
    metavar="KEY=VALUE",
    help="A value of the training config; may be repeated.",
)
@click.option(
    "--like",
    type=TRIAL_ID,
    metavar="TRIAL",
    help="The trial whose values the other keys of the space have; else the config's.",
)
@click.option(
    "--from",
    "source",
    type=TRIAL_ID,
    metavar="TRIAL",
    help="The trial whose best.pt, else latest.pt, has the weights to start from.",
)
@NO_WAIT
@exits
def add(
    directory: Path,
    assignments: tuple[str, ...],
    like: str | None,
    source: str | None,
    no_wait: bool,
) -> int:
    """Adds a configuration by hand to a sweep; it is the next one to be trained.

    The sweep in DIRECTORY then has one more than tune.num_samples. The searcher learns from the
    result if the values are in the space.

    Example: sweep trial add experiments/digits_asha --like 1b45 --set optimizer.learning_rate=0.05
    """
    from sweeps.spec.overrides import parse_assignments
    from trainable.config import TrainConfig

    values = parse_assignments(assignments, TrainConfig)
    arguments = {"set": values, "like": like, "from": source}
    given = {key: value for key, value in arguments.items() if value}
    answer = request(directory, "add", arguments=given, no_wait=no_wait)
    if answer is not None:
        _print_added(directory, answer)
    return FINISHED


def _print_added(directory: Path, answer: Answer) -> None:
    """Prints which configuration was added and whether the searcher learns from it."""
    trials = ", ".join(answer.values["trials"])
    weights = answer.values.get("weights")
    start = "" if weights is None else f", from epoch {weights['epoch']} of {weights['trial']}"
    _print_start(directory, f"trial {trials} is added{start}")
    for key, value in answer.values["values"].items():
        print_line(f"  {key}: {format_value(value)}")
    if answer.values["outside"]:
        reasons = "; ".join(answer.values["outside"])
        print_line(
            f"  it is trained and ranked, but the searcher does not learn from it: {reasons}"
        )


def _print_start(directory: Path, text: str) -> None:
    """Prints what has been done and, without a driver, with which command it takes effect."""
    if is_running(directory):
        print_line(f"{text}; it starts as soon as a slot is free")
    else:
        print_line(f"{text}; it starts with the sweep: {_resume(directory)}")


@click.command("set")
@DIRECTORY
@click.argument(
    "assignments", type=SettingAssignment(), nargs=-1, required=True, metavar="KEY=VALUE..."
)
@NO_WAIT
@exits
def set_(directory: Path, assignments: tuple[str, ...], no_wait: bool) -> int:
    """Changes settings of a sweep, also while it runs.

    KEY is tune.num_samples, tune.max_concurrent_trials, tune.time_budget, tune.target, or a key of
    failure, keep, hooks or log_to.

    Example: sweep set experiments/digits_asha tune.num_samples=64 tune.time_budget=3h
    """
    from sweeps.spec.overrides import parse_assignments
    from sweeps.spec.search_spec import SearchSpec

    values = parse_assignments(assignments, SearchSpec)
    answer = request(directory, "set", arguments=values, no_wait=no_wait)
    if answer is not None:
        for key, value in answer.values["settings"].items():
            before = answer.values["before"][key]
            print_line(f"{key}: {format_value(before)} -> {format_value(value)}")
        if not is_running(directory):
            print_line(f"  in effect with the next run: {_resume(directory)}")
    return FINISHED


def _describe_moment(answer: Answer, later: str, at_once: str) -> str:
    """Returns when a trial ends or pauses: `ends after epoch 3`."""
    epoch = answer.values.get(EPOCH)
    return at_once if epoch is None else f"{later} after epoch {epoch}"


def _resume(directory: Path) -> str:
    return read_commands(directory).run_again("resume")
