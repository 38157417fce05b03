"""One trial of a sweep in Python."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.api.times import to_datetime
from sweeps.results.trial_results import TrialResult
from sweeps.storage.location import download
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.records import TrialRecord, TrialState
from trainable.artifacts.names import CHECKPOINTS
from trainable.config import TrainConfig, parse_config
from trainable.config.yaml_reader import parse_yaml

if TYPE_CHECKING:
    import pandas as pd


class Trial:
    """A trial as its files described it when it was loaded.

    `Sweep.best`, `Sweep.trial` and iterating over a sweep return trials, and callbacks get them.

    Example:
        ```python
        best = load_sweep("experiments/digits_asha").best
        print(best.score, best.values)
        print(best.config.optimizer)
        print(best.checkpoint)
        ```

    Args:
        record: The content of its `trial.json`.
        directory: Its directory.
        metric: The metric that ranks the trials of its sweep.
        read: Reads the trial's files; called when one of their values is first used.
    """

    def __init__(
        self,
        record: TrialRecord,
        directory: Path,
        metric: str,
        read: Callable[[], TrialResult],
    ) -> None:
        self.record = record
        """The content of its `trial.json`."""
        self.directory = directory
        """Its directory; in object storage, the local mirror of that."""
        self.metric = metric
        """The metric that ranks the trials of its sweep."""
        self._read = read

    @cached_property
    def _result(self) -> TrialResult:
        return self._read()

    @property
    def id(self) -> str:
        """Its id, such as `1b458d41`; commands and methods take the beginning of it."""
        return self.record.id

    @property
    def number(self) -> int:
        """Its 0-based number in order of creation."""
        return self.record.number

    @property
    def state(self) -> TrialState:
        """`pending`, `running`, `paused`, `finished`, `stopped` or `failed`."""
        return self.record.state

    @property
    def values(self) -> dict[str, Any]:
        """Dotted key of the space -> the value that its best epoch was trained with."""
        return self._result.values

    @property
    def score(self) -> float | None:
        """The sweep's metric at its best epoch; None before an epoch with finite losses."""
        best = self._result.best
        return None if best is None else float(best[self.metric])

    @property
    def epoch(self) -> int | None:
        """Its best epoch; None before an epoch with finite losses."""
        best = self._result.best
        return None if best is None else int(best["epoch"])

    @property
    def metrics(self) -> dict[str, Any]:
        """All metrics of its best epoch by name; empty before an epoch with finite losses."""
        return dict(self._result.best or {})

    @property
    def epochs(self) -> int:
        """Number of epochs that it has completed."""
        last = self._result.last
        return 0 if last is None else int(last["epoch"])

    @cached_property
    def curve(self) -> pd.DataFrame:
        """One row per epoch, with all metrics."""
        from sweeps.results.export import to_frame, without_values

        return to_frame([without_values(row) for row in self._result.rows])

    @cached_property
    def config(self) -> TrainConfig:
        """Its training config, with the values that its best epoch was trained with.

        Raises:
            SweepError: It has not started yet, or the file is damaged.
        """
        text = self._result.config_text()
        if text is None:
            damage = self._result.config_damage
            raise SweepError(damage or f"trial {self.id} ({self.state}) has not started yet")
        source = f"the config of trial {self.id}"
        return parse_config(parse_yaml(text, source), source)

    @property
    def has_checkpoint(self) -> bool:
        """Whether it has a `best.pt` or a `latest.pt`."""
        return self._result.checkpoint is not None

    @property
    def checkpoint(self) -> Path:
        """The path of its `best.pt`, else of its `latest.pt`; from object storage downloaded.

        Raises:
            SweepError: Its weights were not kept; see `has_checkpoint`.
        """
        path = self._result.checkpoint
        if path is None:
            has_config = self._result.config_text() is not None
            never_saves = has_config and not self.config.checkpoint.enabled
            raise SweepError(
                f"trial {self.id} ({self.state}) has no checkpoint in "
                f"{self.directory / CHECKPOINTS}"
                + (": checkpoint.enabled is false" if never_saves else "")
            )
        return download(path)

    @property
    def created(self) -> datetime:
        """When its configuration was suggested."""
        time = to_datetime(self.record.created)
        assert time is not None, "a record has it"
        return time

    @property
    def started(self) -> datetime | None:
        """When a worker started it first; None before."""
        return to_datetime(self.record.started)

    @property
    def ended(self) -> datetime | None:
        """When it ended; None before."""
        return to_datetime(self.record.ended)

    @property
    def duration(self) -> timedelta | None:
        """The time from its start to its end, including pauses; None before its end."""
        started, ended = self.started, self.ended
        return None if started is None or ended is None else ended - started

    @property
    def failure(self) -> str | None:
        """The cause and message of its last failure, if it has failed; else None."""
        if self.state != "failed" or not self.record.failures:
            return None
        failure = self.record.failures[-1]
        return f"{failure.cause}: {failure.message}"

    @property
    def traceback(self) -> str | None:
        """The traceback of its last failure, if it has failed; else None."""
        if self.state != "failed" or not self.record.failures:
            return None
        return self.record.failures[-1].traceback

    def __repr__(self) -> str:
        score = "no result"
        if self.score is not None:
            score = f"{self.metric} {self.score:.4f} at epoch {self.epoch}"
        return f"<Trial {self.id}: {self.state}, {score}>"

    def _repr_html_(self) -> str:
        from sweeps.notebook.page import trial_html

        return trial_html(self._result, self.metric)


def to_trial(result: TrialResult, metric: str) -> Trial:
    """Returns a trial that has been read from its files."""
    return Trial(result.record, result.directory, metric, lambda: result)
