"""Arguments and options that commands share, and error messages."""

from __future__ import annotations

import errno
import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec

import click

from sweeps.cli.shell.parameter_types import (
    CheckpointFile,
    RemoteDirectory,
    SearchAssignment,
    SearchFile,
    SweepDirectory,
    TrainingAssignment,
    TrialId,
    TrialIds,
    UserPath,
)
from sweeps.results.loaded_sweep import LoadedSweep, load
from sweeps.results.trial_results import TrialResult
from sweeps.sweep_dir.errors import SweepError
from sweeps.terminal.console import enable_ray_output, print_error, print_note
from sweeps.terminal.exit_codes import BAD_INPUT as BAD_INPUT
from sweeps.terminal.exit_codes import FINISHED as FINISHED
from sweeps.terminal.exit_codes import SIGINT_CODE as SIGINT_CODE
from sweeps.terminal.exit_codes import SIGTERM_CODE
from sweeps.terminal.exit_codes import SOME_FAILED as SOME_FAILED
from trainable.errors import TuneSweepsError, describe_full_disk

UNUSABLE_PATH = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
    *(errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG),
}
"""Error numbers of a path that the user can mend."""

P = ParamSpec("P")


SWEEP_DIRECTORY = SweepDirectory()
TRIAL_ID = TrialId()
TRIAL_IDS = TrialIds()
PATH = UserPath(path_type=Path)
PATH_OR_URI = UserPath()
"""For commands that handle URIs themselves."""
SEARCH_FILE = click.argument("search_file", type=SearchFile())
CHECKPOINT = click.argument("checkpoint", type=CheckpointFile())
DIRECTORY = click.argument("directory", type=SWEEP_DIRECTORY)
TRIAL = click.argument("trial", type=TRIAL_ID)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
ALLOW_CUSTOM_MODEL = click.option(
    "--allow-custom-model",
    is_flag=True,
    help="Allow your own code (module:name) as data set, model, loss, metric or sampler.",
)
ADDRESS = click.option(
    "--address",
    metavar="auto|HOST:PORT",
    help="Run the trials on this Ray cluster. The default is RAY_ADDRESS, else this machine.",
)
VERBOSE = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    callback=lambda _context, _parameter, value: enable_ray_output(value),
    help="Also print Ray's own messages, which are otherwise only in Ray's log directory.",
)
SET = click.option(
    "--set",
    "assignments",
    type=TrainingAssignment(),
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the training config, e.g. optimizer.learning_rate=0.01.",
)
SET_IN_SEARCH = click.option(
    "--set",
    "assignments",
    type=SearchAssignment(),
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the search file, e.g. tune.num_samples=4. Keys of the training config "
    "begin with config., e.g. config.training.epochs=2.",
)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Reports that a file which the user has named cannot be written.

    Raises:
        SweepError: Its directory does not exist, the path is a directory, or the like.
    """
    try:
        yield
    except OSError as error:
        if error.strerror is None:
            raise
        raise SweepError(f"{path}: cannot be written: {error.strerror}") from error


def load_noting(directory: Path) -> LoadedSweep:
    """Reads a sweep and prints a note about every file of it that is damaged."""
    sweep = load(directory)
    print_damage(sweep)
    return sweep


def print_damage(sweep: LoadedSweep, *trials: TrialResult) -> None:
    """Prints a note about every file of a sweep that is damaged.

    Args:
        sweep: The sweep.
        *trials: The trials whose configs are used.
    """
    for text in [*sweep.damage, *(trial.config_damage for trial in trials)]:
        if text is not None:
            print_note(text)


def _resolve_uris(arguments: Mapping[str, Any]) -> dict[str, Path]:
    """Returns the local mirrors of the URIs among a command's arguments."""
    uris = {name: value for name, value in arguments.items() if isinstance(value, RemoteDirectory)}
    if not uris:
        return {}
    from sweeps.storage.location import resolve

    return {name: resolve(uri) for name, uri in uris.items()}


def exits(command: Callable[P, int]) -> Callable[P, None]:
    """Exits with a command's return value; errors of the user are printed without a traceback.

    A signal before or after the trials run ends the process with the signal's code. While trials
    run, it pauses the sweep instead.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            kwargs.update(_resolve_uris(kwargs))
            code = command(*args, **kwargs)
        except TuneSweepsError as error:
            print_error(str(error))
            code = BAD_INPUT
        except OSError as error:
            reason = describe_full_disk(error)
            if reason is None and error.errno in UNUSABLE_PATH and error.filename:
                reason = f"cannot be used: {error.strerror}"
            if reason is None:
                raise
            print_error(f"{error.filename}: {reason}" if error.filename else reason)
            code = BAD_INPUT
        except UnicodeEncodeError as error:
            part = error.object[error.start : error.end]
            is_utf8 = sys.getfilesystemencoding() == "utf-8"
            remedy = "it is the name of a file; rename it" if is_utf8 else "set PYTHONUTF8=1"
            print_error(f"{part!a} cannot be written as {error.encoding}: {remedy}")
            code = BAD_INPUT
        except KeyboardInterrupt:
            print_error("interrupted by SIGINT; no trial was running")
            code = SIGINT_CODE
        except SystemExit:  # Ray's handler of SIGTERM raises it with its own code
            print_error("interrupted by SIGTERM; no trial was running")
            code = SIGTERM_CODE
        sys.exit(code)

    return run
