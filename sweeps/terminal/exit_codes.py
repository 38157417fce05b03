"""Exit codes of the `sweep` command: the one place that says what each of them means.

docs/generate_commands.py makes the table in docs/reference/commands.md from `EXIT_CODES`.
"""

from __future__ import annotations

import signal
from typing import NamedTuple

FINISHED, SOME_FAILED, BAD_INPUT, PAUSED, RAY_DIED = range(5)
SIGHUP_CODE, SIGINT_CODE, SIGTERM_CODE = (
    128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
)
"""Exit codes of a process that a signal ends."""

RUNNING = ("run", "resume", "extend", "retry")
"""Commands that run trials."""


class ExitCode(NamedTuple):
    """One meaning of an exit code."""

    code: int
    commands: tuple[str, ...]
    """The commands that it is a meaning for; empty for all of them."""
    meaning: str


EXIT_CODES = (
    ExitCode(
        FINISHED, (), "Done. For a sweep: every trial has finished or was stopped, or a trial has "
        "reached `tune.target`",
    ),
    ExitCode(SOME_FAILED, RUNNING, "The sweep has finished, and at least one trial has failed"),
    ExitCode(SOME_FAILED, ("restore",), "The training has diverged"),
    ExitCode(
        SOME_FAILED, ("python -m trainable",), "The training has diverged or is out of memory"
    ),
    ExitCode(SOME_FAILED, ("predict",), "At least one image cannot be read; the others are there"),
    ExitCode(
        SOME_FAILED, ("export-model",), "The exported file does not compute what the model does, "
        "and was deleted",
    ),
    ExitCode(SOME_FAILED, ("gc",), "At least one file cannot be deleted; the others are"),
    ExitCode(SOME_FAILED, ("doctor",), "Something keeps sweeps from running"),
    ExitCode(
        BAD_INPUT, (), "Bad input, or a request that the sweep refuses; nothing is changed and "
        "nothing starts",
    ),
    ExitCode(BAD_INPUT, ("data",), "Trainings on these data would fail"),
    ExitCode(
        PAUSED, RUNNING, "The sweep is paused by `sweep pause`, by its `tune.time_budget`, by a "
        "full disk, by trials that fail alike, by an error of the driver, or because only trials "
        "are left that `sweep trial pause` holds",
    ),
    ExitCode(RAY_DIED, RUNNING, "The sweep is paused because Ray has died"),
    ExitCode(SIGHUP_CODE, (), "SIGHUP: a running sweep is paused, others have ended"),
    ExitCode(SIGINT_CODE, (), "SIGINT (Ctrl-C): a running sweep is paused, others have ended"),
    ExitCode(SIGTERM_CODE, (), "SIGTERM: a running sweep is paused, others have ended"),
)  # fmt: skip
