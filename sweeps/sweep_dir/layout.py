"""Names of the files and directories of a sweep.

digits_asha/
|-- search.yaml                      as resolved
|-- sweep.json                       state of the sweep
|-- events.jsonl                     events that the scheduler received, and its decisions
|-- trials.csv  best_config.yaml     written at the end
|-- weights/1000000.pt               weights that an added configuration starts from
|-- requests/                        requests to the running sweep that have no answer yet
|-- answers/                         answers to requests, under the same names, for a week
|-- trackers.json                    what trackers of `log_to` have been sent
|-- mlflow.db  wandb/  trackio/      files of trackers, if they are local
`-- resnet20_digits_20240115_143022_a1b2c/    one trial
    |-- trial.json                   state of the trial
    |-- metrics.jsonl                one row per epoch
    `-- config.yaml  checkpoints/  tensorboard/
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.records import (
    IS_IT_A_SWEEP,
    SweepRecord,
    TrialRecord,
    read_record,
    write_record,
)
from trainable.artifacts.names import CHECKPOINTS, METRICS_FILE, TENSORBOARD
from trainable.atomic_files import remove_temporaries

SEARCH_FILE = "search.yaml"
SWEEP_FILE = "sweep.json"
TRIAL_FILE = "trial.json"
EVENTS_FILE = "events.jsonl"
STOP_FILE = "stop"
REQUESTS = "requests"
ANSWERS = "answers"
WARM_START_FILE = "warm_start.json"
SPLIT_FILE = "split.json"
WEIGHTS_DIRECTORY = "weights"
TRACKERS_FILE = "trackers.json"
MLFLOW_DATABASE = "mlflow.db"
WANDB_FOLDER = "wandb"
TRACKIO_FOLDER = "trackio"
TRACKER_FILES = (TRACKERS_FILE, MLFLOW_DATABASE)
TRACKER_FOLDERS = (WANDB_FOLDER, TRACKIO_FOLDER)
"""Files and directories of trackers; Optuna's journal may have any name."""
LOCK_FILE = ".lock"
TRIALS_CSV = "trials.csv"
BEST_CONFIG = "best_config.yaml"
REPORT = "report.html"

REQUEST_FILE = re.compile(r"[0-9]{13}-[0-9a-f]{8}\.json")
"""Name of a request's file and of its answer's: UTC time in ms, then random. Only files of such
names are read; nothing else in the two directories counts."""
MAX_REQUEST_BYTES = 64 * 1024
"""Largest size of a request's file."""
ANSWER_LIFETIME_S = 7 * 24 * 3600.0
MAX_ANSWERS = 1000
"""Answers that are older, or more than so many, are deleted; the event log has them for ever."""

ID_BYTES = 4
"""Random bytes of a trial's id."""

REMEDY = (
    "this trial is left out and may be the best one; restore the file from a copy, or move the "
    "trial's directory away to go on without it"
)
"""The consequence of a trial without a readable record, and the remedy."""


class SweepLayout:
    """Paths and records of one sweep directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()

    @property
    def search_file(self) -> Path:
        """The search file as resolved."""
        return self.directory / SEARCH_FILE

    @property
    def events_file(self) -> Path:
        """The events that the scheduler received, and its decisions."""
        return self.directory / EVENTS_FILE

    @property
    def trials_csv(self) -> Path:
        """One line per trial, best first."""
        return self.directory / TRIALS_CSV

    @property
    def best_config(self) -> Path:
        """The config of the best trial."""
        return self.directory / BEST_CONFIG

    @property
    def warm_start_file(self) -> Path:
        """The observations of an earlier sweep, with `tune.warm_start`."""
        return self.directory / WARM_START_FILE

    @property
    def split_file(self) -> Path:
        """Which images the trials hold out, if their data set is a folder."""
        return self.directory / SPLIT_FILE

    @property
    def stop_file(self) -> Path:
        """File whose existence asks the running sweep to pause."""
        return self.directory / STOP_FILE

    @property
    def requests(self) -> Path:
        """Directory of the requests that the sweep has not answered yet."""
        return self.directory / REQUESTS

    @property
    def answers(self) -> Path:
        """Directory of the answers to requests."""
        return self.directory / ANSWERS

    def remove_old_answers(self) -> None:
        """Deletes the answers that no client waits for any longer."""
        times = {}
        for path in self.answers.glob("*.json"):
            with suppress(OSError):
                if REQUEST_FILE.fullmatch(path.name):
                    times[path.name] = path.lstat().st_mtime
        for name in expired_answers(times, time.time()):
            with suppress(OSError):
                (self.answers / name).unlink()

    def weights_file(self, configuration: int) -> Path:
        """The checkpoint whose weights the trials of a configuration start from."""
        return self.directory / WEIGHTS_DIRECTORY / f"{configuration}.pt"

    def write_sweep(self, record: SweepRecord) -> None:
        """Replaces `sweep.json`."""
        write_record(record, self.directory / SWEEP_FILE)

    def read_sweep(self) -> SweepRecord:
        """Reads `sweep.json`.

        Raises:
            SweepError: It is missing or not the record of a sweep.
        """
        path = self.directory / SWEEP_FILE
        try:
            return read_record(SweepRecord, path)
        except SweepError as error:
            if not self.search_file.exists():
                raise
            problem = str(error).removesuffix(f"; {IS_IT_A_SWEEP}")
            raise SweepError(f"{problem}; restore the file from a copy") from error

    def write_trial(self, record: TrialRecord) -> None:
        """Replaces a trial's `trial.json`; creates the trial's directory if it is new."""
        directory = self.directory / record.directory
        directory.mkdir(exist_ok=True)
        write_record(record, directory / TRIAL_FILE)

    def read_trial(self, directory: str) -> TrialRecord:
        """Reads the record of the trial in the directory of this name.

        Raises:
            SweepError: Its `trial.json` is missing or not the record of this trial.
        """
        path = self.directory / directory / TRIAL_FILE
        record = read_record(TrialRecord, path)
        if record.directory != directory:
            raise SweepError(
                f"{path}: expected the record of a trial in {directory}, "
                f"found one of {record.directory!r}"
            )
        return record

    def read_trials(self) -> list[TrialRecord]:
        """Reads every recorded trial, in order of creation.

        Raises:
            SweepError: A `trial.json` is not the record of its trial; all of them are named.
        """
        records, problems = self.scan_trials()
        if problems:
            raise SweepError("\n".join(problems))
        return records

    def scan_trials(self) -> tuple[list[TrialRecord], list[str]]:
        """Reads every trial whose record can be read.

        Returns:
            (records, problems): the readable records in order of creation, and a sentence with
            the remedy about every other trial.
        """
        records, problems = [], []
        for directory in sorted(self.directory.iterdir() if self.directory.is_dir() else []):
            if directory in {self.requests, self.answers}:
                continue
            if not (directory / TRIAL_FILE).exists():
                if any((directory / name).exists() for name in (METRICS_FILE, CHECKPOINTS)):
                    problems.append(f"{directory / TRIAL_FILE}: there is no such file; {REMEDY}")
                continue
            try:
                records.append(self.read_trial(directory.name))
            except SweepError as error:
                problems.append(f"{error}; {REMEDY}")
        return sorted(records, key=lambda record: record.number), problems

    def remove_partial_writes(self) -> None:
        """Deletes what killed processes left half written; no other process may be writing.

        Requests are left alone, since a client may send one at any time.
        """
        remove_temporaries(self.directory)
        for directory in filter(Path.is_dir, self.directory.iterdir()):
            if directory in {self.requests, self.answers}:
                continue
            # A trial that is ended while it waits does not open its directory again.
            for written in (directory, directory / CHECKPOINTS, directory / TENSORBOARD):
                remove_temporaries(written)
            with suppress(OSError):
                directory.rmdir()  # an empty one: its trial had not been recorded yet


def expired_answers(times: Mapping[str, float], now: float) -> list[str]:
    """Returns the names of the answers to delete: old ones, and all but the newest.

    Args:
        times: Name -> when the answer was written, in seconds.
        now: The present time, by the same clock.
    """
    newest = sorted(times, key=lambda name: (times[name], name), reverse=True)
    return [
        name
        for index, name in enumerate(newest)
        if index >= MAX_ANSWERS or now - times[name] > ANSWER_LIFETIME_S
    ]


def code_directories_of(checkpoint: Path) -> list[Path]:
    """Returns where the sweep of a trial has found the user's own code.

    Args:
        checkpoint: A file `checkpoints/NAME.pt` of the trial, or one outside every sweep, for
            which there are none.
    """
    directories = checkpoint.absolute().parents
    layout = SweepLayout(directories[min(2, len(directories) - 1)])
    if not (layout.directory / SWEEP_FILE).exists():
        return []
    return [Path(directory) for directory in layout.read_sweep().code_directories]
