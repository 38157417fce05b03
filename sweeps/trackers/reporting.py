"""Reports a sweep that this process runs to the trackers of its `log_to`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweeps.results.commands import read_commands
from sweeps.spec.search_spec import SearchSpec
from sweeps.storage.location import join_location
from sweeps.storage.tracker_objects import download_trackers, upload_marks, upload_trackers
from sweeps.sweep_dir.layout import TRACKERS_FILE
from sweeps.terminal.console import print_line
from sweeps.trackers.marks import Marks
from sweeps.trackers.reporter import Limits, Reporter
from sweeps.trackers.update import SweepInfo
from trainable.config.schema import Section
from trainable.errors import StorageError
from trainable.uri import is_uri

TRACKIO_DIR = "TRACKIO_DIR"
PATH = "path"
"""Key of the settings of a tracker that is only a path."""


class Trackers:
    """The trackers of one sweep.

    Args:
        directory: The sweep directory.
        show: Prints a line.
        limits: Times.
    """

    def __init__(
        self,
        directory: Path,
        show: Callable[[str], None] = print_line,
        limits: Limits | None = None,
    ) -> None:
        self._directory = directory
        self._show = show
        self._limits = limits or Limits()
        self._marks: Marks | None = None
        self._settings: dict[str, dict[str, Any]] = {}
        self._reporters: dict[str, Reporter] = {}
        self._leaving: list[Reporter] = []

    def configure(self, spec: SearchSpec) -> None:
        """Reports to the trackers of a search file from now on, with all epochs so far.

        Trackers that are not in it any more end in the background.
        """
        wanted = {name: _plain(settings) for name, settings in spec.log_to.trackers.items()}
        try:
            self._configure(wanted, spec)
        except Exception as error:  # noqa: BLE001 - a tracker must not end the sweep
            self._show(f"trackers cannot be started (the sweep is not affected): {error}")

    def _configure(self, wanted: dict[str, dict[str, Any]], spec: SearchSpec) -> None:
        for name in [n for n in self._reporters if wanted.get(n) != self._settings[n]]:
            reporter = self._reporters.pop(name)
            reporter.begin_close("running")
            self._leaving.append(reporter)
        self._settings = wanted
        for name in wanted.keys() - self._reporters.keys():
            self._reporters[name] = self._start(name, wanted[name], spec)

    def wake(self, trial: str) -> None:
        """Notes that a trial's files have changed; takes microseconds.

        Args:
            trial: The name of the trial's directory.
        """
        for reporter in self._reporters.values():
            reporter.wake(trial)

    def close(self, state: str) -> None:
        """Sends what is left, for a limited time, and says what could not be sent.

        Args:
            state: The state of the sweep.
        """
        try:
            for reporter in self._reporters.values():
                reporter.begin_close(state)
            journals = [s[PATH] for s in self._settings.values() if PATH in s]
            self._end([*self._reporters.values(), *self._leaving])
            if self._settings:
                upload_trackers(self._directory, journals)
        except Exception as error:  # noqa: BLE001 - a tracker must not end the sweep
            self._show(f"trackers have failed at the end (the sweep is not affected): {error}")
        self._reporters = {}

    def _start(self, name: str, settings: dict[str, Any], spec: SearchSpec) -> Reporter:
        location = self._location(spec.training.checkpoint.dir)
        if self._marks is None:
            download_trackers(self._directory)
            self._marks = Marks(self._directory, location)
        own = self._marks.open(name, json.dumps(settings), is_inside=_is_inside(name, settings))
        self._record_identity()
        sweep = SweepInfo(
            own.id,
            spec.name or self._directory.name,  # the name that it was started with
            str(self._directory),
            location,
            spec.tune.metric,
            spec.tune.mode,
            {
                "metric": spec.tune.metric,
                "search_alg": spec.tune.search_alg.name,
                "scheduler": spec.tune.scheduler.name,
                "seed": str(spec.tune.seed),
            },
            settings,
        )
        return Reporter(name, sweep, self._marks, own, self._show, self._limits)

    def _location(self, checkpoint_dir: str) -> str:
        """Returns the URI of the sweep, or its path, of which there is one spelling."""
        if is_uri(checkpoint_dir):
            return join_location(checkpoint_dir, self._directory.name)
        return str(self._directory.resolve())

    def _record_identity(self) -> None:
        """Writes the id of the sweep before any run has it, for a resume after a kill."""
        if self._marks is not None:
            try:
                self._marks.write()
                upload_marks(self._directory)
            except (OSError, StorageError) as error:
                self._show(f"{self._directory / TRACKERS_FILE}: cannot be written: {error}")

    def _end(self, reporters: list[Reporter]) -> None:
        try:
            for reporter in reporters:
                reporter.join()
        except KeyboardInterrupt:
            for reporter in reporters:
                reporter.abandon()
        for reporter in reporters:
            epochs, trials = reporter.count_unsent()
            if epochs and reporter not in self._leaving:
                self._show(self._describe_unsent(reporter.title, epochs, trials))

    def _describe_unsent(self, title: str, epochs: int, trials: int) -> str:
        command = read_commands(self._directory).run_again("resume")
        counts = f"{epochs} epoch{'s' * (epochs > 1)} of {trials} trial{'s' * (trials > 1)}"
        return f"note: {title} does not have {counts} yet; they are sent by {command}"


def _plain(settings: Section | str) -> dict[str, Any]:
    return {PATH: settings} if isinstance(settings, str) else settings.model_dump(mode="json")


def _is_inside(name: str, settings: dict[str, Any]) -> bool:
    """Returns whether a tracker's files lie in the sweep directory, and are copied with it."""
    if PATH in settings:
        return not Path(settings[PATH]).is_absolute()
    if name == "mlflow":
        return settings["tracking_uri"] is None
    if name == "wandb":
        return bool(settings["mode"] == "offline")
    return TRACKIO_DIR not in os.environ
