"""What a sweep's directory holds: names, and the records that make it readable without Ray.

digits_asha/
|-- search.yaml                      as resolved
|-- sweep.json                       state of the sweep
|-- events.jsonl                     what the scheduler was told and answered
|-- trials.csv  best_config.yaml     made at the end
`-- resnet20_digits_20240115_143022_a1b2c/    one trial
|-- trial.json                   state of the trial
|-- metrics.jsonl                a row an epoch
|-- config.yaml  checkpoints/  tensorboard/
"""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from trainable.atomic_files import remove_temporaries, write_text
from trainable.errors import TuneSweepsError

SEARCH_FILE = "search.yaml"
SWEEP_FILE = "sweep.json"
TRIAL_FILE = "trial.json"
EVENTS_FILE = "events.jsonl"
STOP_FILE = "stop"
WARM_START_FILE = "warm_start.json"
LOCK_FILE = ".lock"
TRIALS_CSV = "trials.csv"
BEST_CONFIG = "best_config.yaml"
REPORT = "report.html"

TrialState = Literal["pending", "running", "paused", "finished", "stopped", "failed"]
"""`finished` ran every epoch, `stopped` was ended early by the scheduler."""
Reason = Literal["SIGINT", "SIGTERM", "stop", "time_budget", "disk_full", "interrupted", "target"]
"""What paused a sweep; `interrupted` is Tune's own doing, `target` ended it."""
SweepState = Literal["running", "paused", "finished", "failed"]
Cause = Literal["oom", "nan", "lost_worker", "disk_full", "checkpoint", "data", "error"]
"""Why a trial failed; `error` is anything else."""

R = TypeVar("R")

ENDED: frozenset[TrialState] = frozenset({"finished", "stopped", "failed"})


class SweepError(TuneSweepsError):
    """A sweep directory cannot be made, read or continued."""


def value_at(config: dict[str, Any], key: str) -> Any:
    """The value of a dotted key in a nested config."""
    value: Any = config
    for part in key.split("."):
        value = value[part]
    return value


def now() -> str:
    """The present local time with its offset, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


STRICT = ConfigDict(extra="forbid", strict=True)
"""A record that is read has the keys and types of this version and no others."""


@dataclass(frozen=True)
class Failure:
    """One failure of a trial."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    cause: Cause
    message: str
    traceback: str
    epoch: int
    """The last epoch completed before it."""
    checkpoint: str | None
    """What a retry continues from, relative to the trial's directory."""
    time: str


@dataclass
class TrialRecord:
    """`trial.json`: what the sweep knows of one trial besides its metrics."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: str
    number: int
    """0-based, in order of creation."""
    directory: str
    """Name of its directory, beside `sweep.json`."""
    values: dict[str, Any]
    """Dotted key -> sampled value."""
    state: TrialState = "pending"
    created: str = field(default_factory=now)
    started: str | None = None
    ended: str | None = None
    failures: list[Failure] = field(default_factory=list)
    """Every failure, also of those that a retry got over."""
    forgiven: int = 0
    """The first so many failures no longer count: `sweep retry` was asked for after them."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Dotted config keys that the sweep has set since: more epochs, a batch in parts."""
    lineage: list[dict[str, Any]] = field(default_factory=list)
    """PBT: `epoch`, `donor`, and the `values` from then on."""
    configuration: int | None = None
    """0-based number of its values, where several trials have the same; else None."""
    repeat: int = 0
    """0-based number among the trials of its values; added to the seed."""
    final: bool = False
    """Whether it repeats a winner, with no scheduler to end it."""

    @property
    def group(self) -> int:
        """Number of its configuration."""
        return self.number if self.configuration is None else self.configuration

    @property
    def current(self) -> dict[str, Any]:
        """The keys of the space with the values that hold now: PBT may have changed them."""
        values = self.lineage[-1]["values"] if self.lineage else self.values
        return {key: self.changes.get(key, value) for key, value in values.items()}


@dataclass
class SweepRecord:
    """`sweep.json`: the state of the sweep as a whole."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: str
    state: SweepState
    started: str
    ended: str | None = None
    reason: Reason | None = None
    """What paused it."""
    elapsed_s: float = 0.0
    """Seconds it has run in all."""
    pid: int | None = None
    host: str | None = None
    """The driver's, while it runs."""
    trials: dict[str, int] = field(default_factory=dict)
    """State -> number of trials."""
    versions: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    """What it ran on last: machine, cards, git state."""


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
        """What the scheduler was told and answered."""
        return self.directory / EVENTS_FILE

    @property
    def trials_csv(self) -> Path:
        """One line a trial, best first."""
        return self.directory / TRIALS_CSV

    @property
    def best_config(self) -> Path:
        """The best trial's config."""
        return self.directory / BEST_CONFIG

    @property
    def warm_start_file(self) -> Path:
        """What an earlier sweep had learnt, with `tune.warm_start`."""
        return self.directory / WARM_START_FILE

    @property
    def stop_file(self) -> Path:
        """Asks the running sweep to pause, by existing."""
        return self.directory / STOP_FILE

    def summary_files(self) -> list[Path]:
        """The files of the sweep as a whole that exist."""
        names = (SEARCH_FILE, SWEEP_FILE, TRIALS_CSV, BEST_CONFIG)
        return [self.directory / name for name in names if (self.directory / name).exists()]

    def write_sweep(self, record: SweepRecord) -> None:
        """Replaces `sweep.json`."""
        _write_json(self.directory / SWEEP_FILE, record)

    def read_sweep(self) -> SweepRecord:
        """Reads `sweep.json`.

        Raises:
            SweepError: It is missing or no record of a sweep.
        """
        return _record(SweepRecord, self.directory / SWEEP_FILE)

    def write_trial(self, record: TrialRecord) -> None:
        """Replaces a trial's `trial.json`, making its directory if it is new."""
        directory = self.directory / record.directory
        directory.mkdir(exist_ok=True)
        _write_json(directory / TRIAL_FILE, record)

    def tidy(self) -> None:
        """Takes away what killed processes left half written; nobody else may be writing.

        A request to stop that the one it was made to has not lived to hear goes as well.
        """
        remove_temporaries(self.directory)
        self.stop_file.unlink(missing_ok=True)
        for directory in filter(Path.is_dir, self.directory.iterdir()):
            remove_temporaries(directory)
            with suppress(OSError):
                directory.rmdir()  # an empty one: a trial that was not recorded any more

    def read_trial(self, directory: str) -> TrialRecord:
        """The record of the trial in a directory of this name.

        Raises:
            SweepError: Its `trial.json` is missing or no record of a trial.
        """
        return _trial(self.directory / directory / TRIAL_FILE)

    def read_trials(self) -> list[TrialRecord]:
        """Every recorded trial in order of creation.

        Raises:
            SweepError: A `trial.json` is no record of a trial.
        """
        found = [_trial(path) for path in self.directory.glob(f"*/{TRIAL_FILE}")]
        return sorted(found, key=lambda record: record.number)


_ADAPTERS: dict[type, TypeAdapter[Any]] = {
    kind: TypeAdapter(kind) for kind in (SweepRecord, TrialRecord)
}
"""Made once: making one takes longer than reading a hundred records with it."""


def _trial(path: Path) -> TrialRecord:
    record = _record(TrialRecord, path)
    if record.directory != path.parent.name:
        raise SweepError(
            f"{path}: expected the record of a trial in {path.parent.name}, "
            f"found one of {record.directory!r}"
        )
    return record


def _record(kind: type[R], path: Path) -> R:
    try:
        record: R = _ADAPTERS[kind].validate_json(path.read_bytes())
    except FileNotFoundError:
        raise SweepError(f"{path}: there is no such file; is this a sweep's directory?") from None
    except OSError as error:
        raise SweepError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(map(str, first["loc"]))
        fault = f"{at}: {first['msg']}" if at else first["msg"]
        raise SweepError(f"{path}: not a record of this version: {fault}") from error
    return record


def _write_json(path: Path, record: TrialRecord | SweepRecord) -> None:
    write_text(path, json.dumps(dataclasses.asdict(record), indent=2) + "\n")
