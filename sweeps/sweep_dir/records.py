"""Records of a sweep: `sweep.json` and the `trial.json` of every trial.

They make a sweep directory readable without Ray.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from sweeps.sweep_dir.errors import SweepError
from trainable.atomic_files import write_text
from trainable.config import TrainConfig
from trainable.config.dotted import flatten
from trainable.config.sections.dataset import FOLD
from trainable.trial_settings import STOP_REASON, STOPPED_BY

TrialState = Literal["pending", "running", "paused", "finished", "stopped", "failed"]
"""`finished` ran every epoch, `stopped` was ended early: by the scheduler, by the sweep's target
or by a rule of its training config."""
Reason = Literal[
    "SIGINT",
    "SIGTERM",
    "SIGHUP",
    "stop",
    "time_budget",
    "disk_full",
    "failing",
    "held",
    "ray_died",
    "fault",
    "interrupted",
    "target",
]
"""Why a sweep was paused; `fault` by an exception of the driver, `interrupted` by Tune itself;
`target` ended the sweep."""
PAUSED_BY: dict[Reason, str] = {
    "SIGINT": "Ctrl-C",
    "SIGTERM": "SIGTERM",
    "SIGHUP": "SIGHUP",
    "stop": "sweep pause",
    "time_budget": "its time budget",
    "disk_full": "a full disk",
    "failing": "trials that fail alike",
    "held": "sweep trial pause",
    "ray_died": "the death of Ray",
    "fault": "an error of the driver",
    "interrupted": "Ray Tune",
}
"""Reason -> what paused the sweep, as messages say it."""
SweepState = Literal["running", "paused", "finished", "failed"]
Cause = Literal[
    "oom",
    "nan",
    "lost_worker",
    "timeout",
    "disk_full",
    "checkpoint",
    "data",
    "config",
    "error",
]
"""Why a trial failed; `error` is anything else."""

ADDED = 1_000_000
"""Number of the first configuration that was added by hand; suggested ones count from 0."""

BY_HAND = "hand"
"""Value of `stopped_by` for a trial that a request has stopped."""

ENDED: frozenset[TrialState] = frozenset({"finished", "stopped", "failed"})

IS_IT_A_SWEEP = "is this a sweep's directory? (`sweep list` shows them)"

STRICT = ConfigDict(extra="forbid", strict=True)
"""Only the keys and types of this version are accepted."""


def now() -> str:
    """Returns the current local time with its UTC offset, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


@dataclass(frozen=True)
class Failure:
    """One failure of a trial."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    cause: Cause
    message: str
    traceback: str
    epoch: int
    """The last epoch that was completed before the failure."""
    checkpoint: str | None
    """The checkpoint that a retry continues from, relative to the trial's directory."""
    time: str


def _check_lineage(lineage: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for step in lineage:
        kinds = {"epoch": int, "donor": str, "values": dict}
        for key, kind in kinds.items():
            if not isinstance(step.get(key), kind):
                raise ValueError(f"{key} must be of type {kind.__name__}, found {step.get(key)!r}")
    return lineage


@dataclass(frozen=True)
class StartWeights:
    """The checkpoint of another trial whose weights a trial starts from."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    trial: str
    """Id of the other trial."""
    epoch: int
    """The last epoch of its checkpoint."""
    file: str
    """Name of its checkpoint: `best.pt` or `latest.pt`."""

    def __str__(self) -> str:
        """Returns what it is: `best.pt of trial 1b45c2d3, epoch 7`."""
        return f"{self.file} of trial {self.trial}, epoch {self.epoch}"


class TrialConfigs(Protocol):
    """Builds the training configs of a sweep's trials, as `SearchSpec` does."""

    def trial_config(
        self, values: Mapping[str, Any], number: int, repeat: int = 0, seed_offset: int = 0
    ) -> TrainConfig:
        """See `SearchSpec.trial_config`."""


@dataclass
class TrialRecord:
    """The content of `trial.json`: everything the sweep records about a trial except metrics."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: str
    number: int
    """0-based, in order of creation."""
    directory: str
    """Name of the trial's directory, beside `sweep.json`."""
    values: dict[str, Any]
    """Dotted key -> sampled value."""
    state: TrialState = "pending"
    created: str = field(default_factory=now)
    started: str | None = None
    ended: str | None = None
    failures: list[Failure] = field(default_factory=list)
    """Every failure, including those that a retry recovered from."""
    ignored_failures: Annotated[int, Field(alias="forgiven")] = 0
    """Number of leading `failures` that no longer count, because `sweep retry` was run later."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Dotted config keys that the sweep has set, such as more epochs, smaller batches, or the fold
    of one of several trials of a configuration."""
    lineage: Annotated[list[dict[str, Any]], AfterValidator(_check_lineage)] = field(
        default_factory=list
    )
    """PBT: `epoch`, `donor`, and the `values` from then on."""
    configuration: int | None = None
    """0-based number of the configuration if it is not the trial's number; else None. Those that
    were added by hand count from `ADDED` on."""
    repeat: int = 0
    """0-based number among the trials of the configuration; added to the seed."""
    final: bool = False
    """Whether the trial repeats a winner, without a scheduler that could stop it."""
    stopped_by: str | None = None
    """The key of `training` that ended it early: `early_stopping` or `max_seconds`; `BY_HAND` if
    a request has."""
    stop_reason: str | None = None
    """Why, in words."""
    held: bool = False
    """Whether a request holds it: it is paused until it is resumed by hand."""
    added: bool = False
    """Whether its configuration was added by hand; it has no part in the numbers of others."""
    seed_offset: int = 0
    """Added to the seed as well, where other trials have the same values."""
    weights: StartWeights | None = None
    """The weights that it starts from, if not those of its config."""

    @property
    def configuration_id(self) -> int:
        """The number of the trial's configuration."""
        return self.number if self.configuration is None else self.configuration

    @property
    def current(self) -> dict[str, Any]:
        """The keys of the space with their current values, which PBT may have changed.

        Also the fold, if the sweep has chosen it.
        """
        values = self.lineage[-1]["values"] if self.lineage else self.values
        fold = {FOLD: self.changes[FOLD]} if FOLD in self.changes else {}
        return {**{key: self.changes.get(key, value) for key, value in values.items()}, **fold}

    def note_stop(self, row: Mapping[str, Any], *, by_hand: bool = False) -> None:
        """Notes why it has ended early, if a rule of its config or a request has ended it.

        Args:
            row: The row of its last epoch, which has the rule.
            by_hand: Whether a request has ended it, if no rule has.
        """
        self.stopped_by, self.stop_reason = row.get(STOPPED_BY), row.get(STOP_REASON)
        if self.stopped_by is None and by_hand:
            self.stopped_by, self.stop_reason = BY_HAND, "by hand"

    @property
    def ended_itself(self) -> bool:
        """Whether a rule of its training config has ended it early."""
        return self.stopped_by not in {None, BY_HAND}

    @property
    def stop_text(self) -> str | None:
        """Why it has ended early, for messages; None if it has not or its scheduler decided so."""
        if self.stopped_by == BY_HAND:
            return self.stop_reason
        return None if self.stopped_by is None else f"training.{self.stopped_by}"

    def reopen(self, failures: int) -> None:
        """Marks a failed trial as paused; so many of its failures no longer count."""
        self.state, self.ended, self.ignored_failures = "paused", None, failures

    def epochs(self, default: int) -> int:
        """Returns the number of epochs that the trial trains unless it ends early.

        Args:
            default: The number of a trial whose values do not include `training.epochs`.
        """
        values = flatten({**self.current, **self.changes})
        return int(values.get("training.epochs", default))

    def config(self, spec: TrialConfigs, changes: Mapping[str, Any] | None = None) -> TrainConfig:
        """Builds the trial's training config from its current values and changes.

        Args:
            spec: The sweep's search file.
            changes: Dotted key -> value of changes that are not recorded yet.

        Raises:
            ConfigError: The values do not make a valid config.
        """
        values = {**self.current, **self.changes, **(changes or {})}
        return spec.trial_config(values, self.number, self.repeat, self.seed_offset)


@dataclass
class SweepRecord:
    """The content of `sweep.json`: the state of the sweep as a whole."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: str
    state: SweepState
    started: str
    ended: str | None = None
    reason: Reason | None = None
    """Why the sweep was paused."""
    elapsed_s: float = 0.0
    """Total running time in seconds."""
    pid: int | None = None
    host: str | None = None
    """The driver's host and `pid`, while it runs."""
    rungs: Literal["multiples", "shares"] = "multiples"
    """How HyperBand's rungs follow from its factor (`RungRule`); earlier versions wrote none."""
    cache: bool = False
    """Whether trials may read files from the decoded cache; those of earlier versions may not, so
    that all trials of a sweep are trained alike."""
    trials: dict[str, int] = field(default_factory=dict)
    """State -> number of trials."""
    stopped_by: dict[str, int] = field(default_factory=dict)
    """Key of `training`, or `BY_HAND` -> number of trials that it has ended early."""
    versions: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    """The environment of the last run: machine, GPUs, git state."""
    address: str | None = None
    """The `--address` of the last run; None if it had none."""
    code_directories: list[str] = field(default_factory=list)
    """Where the last run imported the user's own code from."""
    working_directory: str | None = None
    """Where it was started, if it may run the user's own code: relative paths among the arguments
    of that code are below it."""
    events_at_start: int | None = None
    """Completed epochs and failures of all trials when the last run began."""
    runs_without_epoch: int = 0
    """Runs in a row, up to the last but one, in which no trial saved an epoch or failed."""

    def count_trials(self, records: Collection[TrialRecord]) -> None:
        """Sets the numbers of trials by state, and of those that ended early."""
        self.trials = _count(record.state for record in records)
        self.stopped_by = _count(r.stopped_by for r in records if r.stopped_by is not None)

    added: int = 0
    """Number of configurations that were added by hand."""
    settings: str | None = None
    """Id of the last `set` request that `search.yaml` has."""


def _count(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def describe_state(state: str, reason: Reason | None) -> str:
    """Returns a sweep's state with its reason as text: `paused by Ctrl-C`."""
    if state == "paused" and reason in PAUSED_BY:
        return f"paused by {PAUSED_BY[reason]}"
    return f"{state}, its target is reached" if reason == "target" else state


NEW_FIELDS: dict[str, Any] = {
    "held": False,
    "added": False,
    "seed_offset": 0,
    "weights": None,
    "settings": None,
}
"""Fields that earlier versions refuse -> the value with which they are not written."""

Record = TypeVar("Record", SweepRecord, TrialRecord)

_ADAPTERS: dict[type, TypeAdapter[Any]] = {
    kind: TypeAdapter(kind) for kind in (SweepRecord, TrialRecord)
}
"""Built once: building an adapter takes longer than reading a hundred records with it."""


def read_record(kind: type[Record], path: Path) -> Record:
    """Reads a record.

    Raises:
        SweepError: The file is missing, cannot be read or is not such a record.
    """
    try:
        record: Record = _ADAPTERS[kind].validate_json(path.read_bytes())
    except FileNotFoundError:
        raise SweepError(f"{path}: there is no such file; {IS_IT_A_SWEEP}") from None
    except OSError as error:
        raise SweepError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        location = ".".join(map(str, first["loc"]))
        problem = f"{location}: {first['msg']}" if location else first["msg"]
        raise SweepError(f"{path}: not a record of this version: {problem}") from error
    return record


def write_record(record: SweepRecord | TrialRecord, path: Path) -> None:
    """Replaces a record's file whole."""
    fields = _ADAPTERS[type(record)].dump_python(record, by_alias=True)
    for key, default in NEW_FIELDS.items():
        if fields.get(key, default) == default:
            fields.pop(key, None)
    write_text(path, json.dumps(fields, indent=2) + "\n")
