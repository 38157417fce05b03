"""Calls the user's Python functions from the driver of a sweep.

A function that raises an exception does not affect the sweep: its first traceback is printed, and
the number of its failures at the end.
"""

from __future__ import annotations

import copy
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.result import AUTO_RESULT_KEYS

from sweeps.execution.run_options import RunOptions, TrialEvent
from sweeps.results.trial_results import ResultReader, TrialResult
from sweeps.steering.client import inside_driver
from sweeps.storage.location import pull_trial, sync_trial
from sweeps.sweep_dir.records import ENDED, TrialRecord
from sweeps.terminal.console import print_line
from trainable.trial_settings import ENDED as HAS_ENDED
from trainable.trial_settings import SAVED

TUNE_KEYS = frozenset(
    {*AUTO_RESULT_KEYS, "done", "trial_id", "experiment_tag", "should_checkpoint"}
    | {SAVED, HAS_ENDED}
)
"""Keys of Tune's result that are no metrics of the epoch."""


class UserCallbacks(Callback):
    """Calls `on_epoch` and `on_trial_end` of a run.

    Args:
        options: The options of the run, which have the functions.
        records: Trial id -> record, which other callbacks have updated before.
        reader: Reads the sweep's trials.
        after: Called after each call of a function with the seconds that it took, during which
            the sweep has waited for it.
    """

    def __init__(
        self,
        options: RunOptions,
        records: Mapping[str, TrialRecord],
        reader: ResultReader,
        after: Callable[[float], None],
    ) -> None:
        self._options = options
        self._records = records
        self._reader = reader
        self._after = after
        self._failures: Counter[str] = Counter()

    def __getstate__(self) -> dict[str, Any]:
        """Returns nothing: Tune pickles its callbacks, but no process ever restores this one."""
        return {}

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Calls `on_epoch`."""
        del iteration, trials, info
        if self._options.on_epoch is not None:
            self._call("on_epoch", self._options.on_epoch, trial, result)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Calls `on_trial_end` unless the trial is only paused."""
        del iteration, trials, info
        self._note_end(trial)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Calls `on_trial_end` for a trial that has failed for good."""
        del iteration, trials, info
        self._note_end(trial)

    def print_failures(self) -> None:
        """Prints a line for each function that has failed more than once."""
        for name, number in self._failures.items():
            if number > 1:
                print_line(f"note: {name} has failed {number} times; the sweep is not affected")

    def _note_end(self, trial: Trial) -> None:
        is_ended = self._records[trial.trial_id].state in ENDED
        if self._options.on_trial_end is not None and is_ended:
            last = trial.last_result or {}
            self._call("on_trial_end", self._options.on_trial_end, trial, last)

    def _call(
        self,
        name: str,
        function: Callable[[TrialEvent], None],
        trial: Trial,
        result: dict[str, Any],
    ) -> None:
        record = copy.deepcopy(self._records[trial.trial_id])
        directory = self._reader.directory / record.directory

        def read() -> TrialResult:
            """Reads the trial's files."""
            (sync_trial if record.state in ENDED else pull_trial)(directory)
            return self._reader.read(record)

        row = {key: value for key, value in result.items() if key not in TUNE_KEYS}
        event = TrialEvent(record, directory, row, self._reader.metric, read)
        started = time.monotonic()
        try:
            with inside_driver():
                function(event)
        except (Exception, SystemExit):  # noqa: BLE001 - the user's code; the sweep goes on
            self._failures[name] += 1
            if self._failures[name] == 1:
                text = traceback.format_exc().rstrip()
                print_line(f"{name} has failed (the sweep is not affected):\n{text}")
        finally:
            self._after(time.monotonic() - started)
