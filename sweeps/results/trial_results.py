"""Reads the trials of a running or ended sweep from their files and ranks them; without Ray."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import TrialRecord
from sweeps.sweep_dir.trial_rows import TrialRowsReader
from trainable.artifacts.metrics import (
    ACCURACY,
    accuracy_beside,
    best_column,
    is_scored,
    monitor_of,
)
from trainable.artifacts.names import (
    BEST_FILE,
    CHECKPOINTS,
    CONFIG_FILE,
    LATEST_FILE,
)
from trainable.config import parse_config
from trainable.config.override import override
from trainable.config.yaml_reader import dump_yaml, parse_yaml
from trainable.errors import ConfigError
from trainable.trial_settings import VALUES

CONFIG_REMEDY = (
    "restore it from a copy; the trial's checkpoints have the config too (`sweep eval` and "
    "`sweep restore` use it)"
)
"""The remedy for a `config.yaml` that is damaged."""


@dataclass(frozen=True)
class TrialResult:
    """One trial as its files describe it."""

    record: TrialRecord
    directory: Path
    rows: list[dict[str, Any]]
    """Metrics, one row per epoch."""
    own_best: dict[str, Any] | None
    """The row of the best epoch that it has trained itself; None if no epoch has a finite metric
    and finite losses. An inherited epoch says nothing about its values."""
    inherited: dict[str, Any] | None = None
    """See `inherited_row`."""
    damage: str | None = None
    """A sentence on its damaged files, with the remedy (see `TrialRowsReader`)."""
    unknown: tuple[int, ...] = ()
    """Completed epochs whose metric is in no file."""

    @property
    def best(self) -> dict[str, Any] | None:
        """The row of its best epoch, which may be inherited."""
        return self.inherited or self.own_best

    @property
    def last(self) -> dict[str, Any] | None:
        """The row of its last epoch."""
        return self.rows[-1] if self.rows else None

    @property
    def values(self) -> dict[str, Any]:
        """The keys of the space with the values that its best epoch was trained with.

        A trial whose scheduler changes values has them in its rows; other trials, and those of
        earlier versions, have the values of their last epoch.
        """
        values = (self.best or {}).get(VALUES)
        return self.record.current if values is None else dict(values)

    def config_text(self) -> str | None:
        """Returns its `config.yaml` with the values of its best epoch.

        None before it started, and if the file is damaged.
        """
        text, damage = self._stored_config
        if text is None or damage is not None or self.values == self.record.current:
            return None if damage else text
        return dump_yaml(override(parse_yaml(text, CONFIG_FILE).data, self.values))

    @property
    def config_damage(self) -> str | None:
        """A sentence on its `config.yaml` if that is damaged, with the remedy."""
        return self._stored_config[1]

    @cached_property
    def _stored_config(self) -> tuple[str | None, str | None]:
        """Its `config.yaml` as text, and what is wrong with the file."""
        path = self.directory / CONFIG_FILE
        if not path.exists():
            is_lost = bool(self.rows)
            return None, f"{path}: there is no such file; {CONFIG_REMEDY}" if is_lost else None
        try:
            text = path.read_text(encoding="utf-8")
            whole = dump_yaml(parse_config(parse_yaml(text, str(path)), str(path)).to_dict())
        except OSError as error:
            return None, f"{path}: cannot be read: {error.strerror}; {CONFIG_REMEDY}"
        except UnicodeDecodeError:
            return None, f"{path}: is not text; {CONFIG_REMEDY}"
        except ConfigError as error:
            return None, f"{error}\n  {CONFIG_REMEDY}"
        if text != whole and (whole.startswith(text) or not text.endswith("\n")):
            return None, f"{path}: ends in the middle; {CONFIG_REMEDY}"
        return text, None

    @property
    def checkpoint(self) -> Path | None:
        """Its `best.pt` if that exists, else its `latest.pt`, else None."""
        for name in (BEST_FILE, LATEST_FILE):
            path = self.directory / CHECKPOINTS / name
            if path.exists():
                return path
        return None


def best_row(rows: list[dict[str, Any]], metric: str, mode: str) -> dict[str, Any] | None:
    """Returns the row with the best metric; among equal ones, the earliest.

    Rows without a finite metric or with a loss that is not finite are left out.
    """
    sign = 1 if mode == "max" else -1
    finite = [row for row in rows if is_scored(row, metric)]
    return max(finite, key=lambda row: (sign * row[metric], -row["epoch"]), default=None)


def inherited_row(rows: list[dict[str, Any]], metric: str, mode: str) -> dict[str, Any] | None:
    """Returns the best epoch before a trial's first one, if none of its own is better.

    A trial that resumes from a checkpoint inherits the best state of that training as its
    `best.pt`. Only the epoch and the metric that decided (`checkpoint.monitor`) are known.
    """
    if not rows:
        return None
    monitor = monitor_of(rows[-1])
    column = best_column(monitor)
    if metric not in {monitor, column} or (monitor == ACCURACY and mode != "max"):
        return None
    epoch, value = rows[-1].get("best_epoch"), rows[-1].get(column)
    if not epoch or epoch >= rows[0]["epoch"]:
        return None
    return {"epoch": epoch, monitor: value, column: value}


def read_scores(result: TrialResult, metrics: Iterable[str]) -> list[float] | None:
    """Returns the metrics by which a searcher compares trials; None if the trial lacks one."""
    best = result.own_best
    if best is None or not all(is_scored(best, name) for name in metrics):
        return None
    return [float(best[name]) for name in metrics]


def describe_best(row: Mapping[str, Any], metric: str) -> str:
    """Returns the score of an epoch, with its accuracy where another metric ranks the trials.

    For example `val_loss 0.6846 at epoch 5, val_acc 0.9077`.
    """
    text = f"{metric} {row[metric]:.4f} at epoch {row['epoch']}"
    accuracy = accuracy_beside(row, metric)
    return text if accuracy is None else f"{text}, {ACCURACY} {accuracy:.4f}"


def describe_missing_best(epochs: int) -> str:
    """Returns why a sweep has no best trial, given the number of epochs that were trained."""
    if epochs:
        return "no trial has an epoch with a finite loss"
    return "no trial has completed an epoch"


class ResultReader:
    """Reads the trials of a sweep from their directories, whose files may be damaged.

    Args:
        directory: The sweep directory.
        metric: The metric that ranks trials.
        mode: `max` or `min`.
        config: See `TrialRowsReader`.
        is_live: See `TrialRowsReader`.
    """

    def __init__(
        self,
        directory: Path,
        metric: str,
        mode: str,
        config: Mapping[str, Any] | None = None,
        *,
        is_live: bool = False,
    ) -> None:
        self.directory = directory
        self.metric = metric
        """The metric that ranks trials."""
        self._mode = mode
        self._rows = TrialRowsReader(directory, metric, config, is_live=is_live)

    def read(self, record: TrialRecord) -> TrialResult:
        """Reads one trial."""
        trial = self._rows.read(record)
        inherited = inherited_row(trial.rows, self.metric, self._mode)
        own_best = best_row(trial.rows, self.metric, self._mode)
        directory = self.directory / record.directory
        return TrialResult(
            record, directory, trial.rows, own_best, inherited, trial.damage, trial.unknown
        )

    def read_all(self, records: Iterable[TrialRecord]) -> list[TrialResult]:
        """Reads trials, best first (see `TrialRanking`)."""
        results = [self.read(record) for record in records]
        ranking = TrialRanking(self.metric, self._mode)
        for result in results:
            ranking.add(result)
        return sorted(results, key=ranking.sort_key)


class TrialRanking:
    """Ranks the trials of a sweep by their best epochs; trials without one come last.

    Trials of one configuration stay together and are ranked by the mean of their scores.
    Configurations that have final trials come first and are ranked by these alone. Trials whose
    best epochs were inherited from one checkpoint are ranked by their own.

    Args:
        metric: A metric that trials report.
        mode: `max` or `min`.
    """

    def __init__(self, metric: str, mode: str) -> None:
        self._metric = metric
        self._sign = -1 if mode == "max" else 1
        self._scores: dict[tuple[int, bool], list[tuple[float, float]]] = {}
        """(configuration, whether final) -> scores, the lowest of which is the best."""

    def add(self, result: TrialResult) -> None:
        """Adds a trial, whose score then counts for its configuration."""
        if result.best is not None:
            key = result.record.configuration_id, result.record.final
            self._scores.setdefault(key, []).append(self._score(result))

    def remove(self, result: TrialResult) -> None:
        """Removes a trial that was added."""
        if result.best is not None:
            key = result.record.configuration_id, result.record.final
            self._scores[key].remove(self._score(result))

    def sort_key(self, result: TrialResult) -> tuple[Any, ...]:
        """Returns the key to sort trials by, best first, once all have been added."""
        record, configuration = result.record, result.record.configuration_id
        final_scores = self._scores.get((configuration, True))
        scores = final_scores or self._scores.get((configuration, False)) or [(0.0, 0.0)]
        return (
            result.best is None,
            not final_scores,
            *(fmean(column) for column in zip(*scores, strict=True)),
            configuration,
            self._score(result),
            record.number,
        )

    def _score(self, result: TrialResult) -> tuple[float, float]:
        """Returns the score of the best epoch and that of the best one of its own."""
        if result.best is None:
            return 0.0, 0.0
        own = result.own_best
        return (
            self._sign * float(result.best[self._metric]),
            self._sign * float(own[self._metric]) if own else math.inf,
        )


def read_results(
    directory: Path, metric: str, mode: str, config: Mapping[str, Any] | None = None
) -> list[TrialResult]:
    """Reads every trial of a sweep that no other process runs, best first (see `TrialRanking`).

    Args:
        directory: The sweep directory.
        metric: A metric that trials report.
        mode: `max` or `min`.
        config: See `TrialRowsReader`.

    Raises:
        SweepError: A trial's record cannot be read.
    """
    records = SweepLayout(directory).read_trials()
    return ResultReader(directory, metric, mode, config).read_all(records)
