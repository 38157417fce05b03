"""The `sweep` command: its verbs, what they print, and their exit codes.

0 finished, 1 finished with failed trials, 2 bad input, 3 paused by its time budget or by
`sweep stop`, 130 paused by SIGINT, 143 paused by SIGTERM.

Ray and torch are imported by the verbs that need them, so that `--help` is there at once.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from sweeps.console import complain, console, say
from sweeps.layout import ENDED, SweepLayout
from trainable.errors import TuneSweepsError

if TYPE_CHECKING:
    from sweeps.running import Outcome

FINISHED, SOME_FAILED, BAD_INPUT = 0, 1, 2
BY_SIGINT, BY_SIGTERM = 130, 143

P = ParamSpec("P")

DIRECTORY = click.argument("directory", type=click.Path(path_type=Path))
ALLOW_CUSTOM_MODEL = click.option(
    "--allow-custom-model",
    is_flag=True,
    help="Let model.name import a callable of yours (module:callable).",
)
SET = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the training config, e.g. optimizer.learning_rate=0.01.",
)


def _exits(verb: Callable[P, int]) -> Callable[P, None]:
    """Makes a verb's return value the exit code, and a user's error one message and code 2.

    A signal that comes before a sweep has begun, or when it is over, ends the process with the
    signal's code; in between it asks for a pause.
    """

    @functools.wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = verb(*args, **kwargs)
        except TuneSweepsError as error:
            complain(str(error))
            code = BAD_INPUT
        except KeyboardInterrupt:
            complain("interrupted by SIGINT; no trial was running")
            code = BY_SIGINT
        except SystemExit:  # what Ray makes of SIGTERM, with a code of its own
            complain("interrupted by SIGTERM; no trial was running")
            code = BY_SIGTERM
        sys.exit(code)

    return run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Hyperparameter sweeps for PyTorch image classifiers on Ray Tune."""


@main.command()
@click.argument("search_file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--resume",
    "directory",
    type=click.Path(path_type=Path),
    help="Go on with this sweep instead of starting one; SEARCH_FILE may then change its "
    "totals, budget, resources and policies.",
)
@ALLOW_CUSTOM_MODEL
@_exits
def run(search_file: Path | None, directory: Path | None, allow_custom_model: bool) -> int:
    """Runs the sweep that SEARCH_FILE describes.

    Example: sweep run configs/search.yaml
    """
    if directory is not None:
        return _resume(directory, search_file, allow_custom_model, {}, {})
    if search_file is None:
        raise click.UsageError("give a search file, or --resume and a sweep's directory")
    from sweeps.spec import load_search

    spec = load_search(search_file)
    from sweeps.launch import start_sweep

    return _finish(start_sweep(spec, allow_custom_model=allow_custom_model))


@main.command()
@DIRECTORY
@click.option("--num-samples", type=int, help="New total number of trials.")
@click.option("--time-budget", help="New budget for this run, e.g. 90s, 30m, 4h, 2d.")
@click.option("--max-concurrent-trials", type=int, help="New limit of trials at once.")
@click.option("--cpu", type=float, help="New share of CPUs a trial.")
@click.option("--gpu", type=float, help="New share of a card a trial.")
@ALLOW_CUSTOM_MODEL
@_exits
def resume(directory: Path, allow_custom_model: bool, **changes: Any) -> int:
    """Goes on with the sweep in DIRECTORY: interrupted trials first, then those still to come.

    A finished sweep goes on if its total is raised.

    Example: sweep resume experiments/digits_asha --num-samples 40
    """
    resources = {key: changes.pop(key) for key in ("cpu", "gpu")}
    return _resume(directory, None, allow_custom_model, changes, resources)


def _resume(
    directory: Path,
    search_file: Path | None,
    allow_custom_model: bool,
    tune: dict[str, Any],
    resources: dict[str, Any],
) -> int:
    from sweeps.reopening import changed, merged, opened

    with opened(directory) as (spec, records):
        if search_file is not None:
            spec = merged(spec, search_file, directory)
        spec = changed(spec, tune, resources)
        made = len(records) >= spec.tune.num_samples
        if made and all(record.state in ENDED for record in records):
            say(f"all {len(records)} trials of {directory} have ended")
            say(f"to add more: sweep resume {directory} --num-samples {len(records) * 2}")
        from sweeps.launch import resume_sweep

        outcome = resume_sweep(spec, directory, records, allow_custom_model=allow_custom_model)
        return _finish(outcome)


@main.command("continue")
@DIRECTORY
@click.option("--top", type=click.IntRange(min=1), required=True, help="How many of the best.")
@click.option("--epochs", type=click.IntRange(min=1), required=True, help="New total epochs.")
@ALLOW_CUSTOM_MODEL
@_exits
def continue_(directory: Path, top: int, epochs: int, allow_custom_model: bool) -> int:
    """Trains the best trials of a finished sweep for more epochs, from their latest.pt.

    Example: sweep continue experiments/digits_asha --top 3 --epochs 50
    """
    from sweeps.reopening import opened, reopen_best

    with opened(directory) as (spec, records):
        spec = reopen_best(spec, directory, records, top=top, epochs=epochs)
        from sweeps.launch import resume_sweep

        outcome = resume_sweep(spec, directory, records, allow_custom_model=allow_custom_model)
        return _finish(outcome)


@main.command()
@DIRECTORY
@click.option("--cause", help="Only trials that failed of this: oom, nan, lost_worker, error...")
@ALLOW_CUSTOM_MODEL
@_exits
def retry(directory: Path, cause: str | None, allow_custom_model: bool) -> int:
    """Tries failed trials of the sweep in DIRECTORY again, from their last checkpoint.

    Example: sweep retry experiments/digits_asha --cause oom
    """
    from sweeps.reopening import opened, reopen_failed

    with opened(directory) as (spec, records):
        chosen = reopen_failed(directory, records, cause)
        if not chosen:
            say(f"no trial of {directory} has failed" + (f" of {cause}" if cause else ""))
            return FINISHED
        from sweeps.launch import resume_sweep

        outcome = resume_sweep(spec, directory, records, allow_custom_model=allow_custom_model)
        return _finish(outcome)


@main.command()
@DIRECTORY
@_exits
def stop(directory: Path) -> int:
    """Pauses the running sweep in DIRECTORY: its trials finish their epoch and save.

    Example: sweep stop experiments/digits_asha
    """
    from sweeps.ownership import is_running

    record = SweepLayout(directory).read_sweep()
    if not is_running(directory):
        say(f"{directory} is not running; it is {record.state}")
        return FINISHED
    SweepLayout(directory).stop_file.touch()
    say(f"asked process {record.pid} on {record.host} to pause")
    say(f"to go on afterwards: sweep resume {directory}")
    return FINISHED


@main.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--epochs", type=click.IntRange(min=1), help="New total epochs.")
@click.option(
    "--dir",
    "base",
    type=click.Path(path_type=Path),
    default=Path("experiments"),
    show_default=True,
    help="Where the new experiment directory goes.",
)
@SET
@ALLOW_CUSTOM_MODEL
@_exits
def restore(
    checkpoint: Path,
    epochs: int | None,
    base: Path,
    assignments: tuple[str, ...],
    allow_custom_model: bool,
) -> int:
    """Trains on from CHECKPOINT alone, in a new experiment directory.

    It needs the .pt file and the data, nothing else of its sweep.

    Example: sweep restore experiments/digits_asha/TRIAL/checkpoints/best.pt --epochs 50
    """
    from sweeps.assignments import parse_assignments
    from sweeps.single import restore as restore_checkpoint
    from sweeps.single import restored_config

    values = parse_assignments(assignments)
    config = restored_config(checkpoint, base, epochs, values)
    outcome = restore_checkpoint(config, values, console, allow_custom_model=allow_custom_model)
    say(f"best: val_acc {outcome.best_acc:.4f} at epoch {outcome.best_epoch}")
    say(f"experiment: {outcome.directory}, continued from {checkpoint}")
    return FINISHED if outcome.finished else SOME_FAILED


@main.command("eval")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@SET
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@ALLOW_CUSTOM_MODEL
@_exits
def eval_(
    checkpoint: Path, assignments: tuple[str, ...], as_json: bool, allow_custom_model: bool
) -> int:
    """Scores CHECKPOINT on its test set.

    Example: sweep eval experiments/digits_asha/TRIAL/checkpoints/best.pt
    """
    from sweeps.assignments import parse_assignments
    from sweeps.single import evaluate_checkpoint

    found = evaluate_checkpoint(
        checkpoint, parse_assignments(assignments), allow_custom_model=allow_custom_model
    )
    if as_json:
        say(json.dumps(found))
    else:
        say(
            f"test_acc {found['test_acc']:.4f}  test_loss {found['test_loss']:.4f}  "
            f"on {found['images']} images, epoch {found['epoch']} of {checkpoint}"
        )
    return FINISHED


@main.command()
@click.argument("search_file", type=click.Path(path_type=Path))
@_exits
def validate(search_file: Path) -> int:
    """Checks SEARCH_FILE and the training config it names; starts nothing.

    Example: sweep validate configs/search.yaml
    """
    from sweeps.spec import load_search

    spec = load_search(search_file)
    say(f"{search_file}: good; {spec.tune.num_samples} trials over {len(spec.space)} keys")
    return FINISHED


def _finish(outcome: Outcome) -> int:
    """Prints what the sweep came to; returns the exit code."""
    from sweeps.ending import print_ending
    from sweeps.pause import EXIT_CODES

    print_ending(outcome)
    if outcome.paused is not None:
        return EXIT_CODES[outcome.paused]
    failed = any(result.record.state == "failed" for result in outcome.results)
    return SOME_FAILED if failed else FINISHED
