"""The content of a sweep's files, in Python."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.api.times import convert_times, to_datetime
from sweeps.api.trial import Trial, to_trial
from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.records import describe_state

if TYPE_CHECKING:
    import pandas as pd


class SweepFiles:
    """The part of `Sweep` that reads files.

    Args:
        files: The loaded sweep.
        grid: Tune's `ResultGrid` if this process ran the sweep.
    """

    def __init__(self, files: LoadedSweep, grid: Any = None) -> None:
        self.files = files
        """The sweep as the commands read it."""
        self.grid = grid
        """Tune's `ResultGrid` if this process ran the sweep; else None."""

    @property
    def name(self) -> str:
        """Its name, which is that of its directory."""
        return self.files.record.name

    @property
    def directory(self) -> Path:
        """The sweep directory; for a sweep in object storage, its local mirror."""
        return self.files.directory

    @property
    def state(self) -> str:
        """`running`, `paused`, `finished`, `failed`, or `interrupted` if the driver has died."""
        return self.files.state

    @property
    def metric(self) -> str:
        """The metric that ranks the trials."""
        return self.files.metric

    @property
    def mode(self) -> str:
        """`max` or `min`, the direction of the metric."""
        return self.files.mode

    @property
    def started(self) -> datetime:
        """When it started first."""
        time = to_datetime(self.files.record.started)
        assert time is not None, "a record has it"
        return time

    @property
    def ended(self) -> datetime | None:
        """When it finished or paused; None while it runs."""
        return to_datetime(self.files.record.ended)

    @property
    def damage(self) -> list[str]:
        """A sentence about every damaged file, because of which another trial may be the best."""
        return self.files.damage

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row per trial, best first.

        Its columns are those of `trials.csv`: id, state, metric, sampled values, directory,
        checkpoint; besides, the times `created`, `started` and `ended` (`datetime64[ns, UTC]`)
        and the cause of a failure.
        """
        from sweeps.results.export import to_frame, trial_rows

        return convert_times(to_frame(trial_rows(self.files)))

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row per epoch of every trial, with all metrics; the column `trial` has the id."""
        from sweeps.results.export import epoch_rows, to_frame

        return to_frame(epoch_rows(self.files))

    @property
    def best(self) -> Trial:
        """The trial with the best epoch.

        Example:
            ```python
            best = sweep.best
            print(best.id, best.score, best.values, best.checkpoint)
            ```

        Raises:
            SweepError: No trial has an epoch with finite losses.
        """
        if self.files.best is None:
            raise SweepError(f"{self.directory}: {self.files.missing_best}")
        return to_trial(self.files.best, self.metric)

    def trial(self, name: str) -> Trial:
        """Returns the trial whose id begins with this text.

        Raises:
            SweepError: No trial matches, or several do.
        """
        return to_trial(self.files.find(name), self.metric)

    def __iter__(self) -> Iterator[Trial]:
        """Yields the trials, best first."""
        return (to_trial(result, self.metric) for result in self.files.results)

    def report(self, output: str | Path | None = None) -> Path:
        """Writes `report.html`, or another file; returns its path."""
        from sweeps.report.page import write_report

        return write_report(self.directory, None if output is None else Path(output))

    def _select(self, trial: str | Trial | None) -> Trial:
        if trial is None:
            return self.best
        if not isinstance(trial, str | Trial):
            raise TypeError(f"trial: must be a Trial or the beginning of an id, found {trial!r}")
        return self.trial(trial) if isinstance(trial, str) else trial

    def __repr__(self) -> str:
        """Returns one line: name, state, trials and the best of them."""
        files = self.files
        parts = [
            describe_state(files.state, files.record.reason),
            f"{files.ended} of {files.total} trials ended",
        ]
        best = files.best
        if best is not None and best.best is not None:
            score = f"{files.metric} {best.best[files.metric]:.4f}"
            parts.append(f"{files.best_label} {score} ({best.record.id})")
        return f"<Sweep {self.name}: {', '.join(parts)}>"

    def _repr_html_(self) -> str:
        from sweeps.notebook.page import sweep_html

        return sweep_html(self.files)
