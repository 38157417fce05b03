"""Reports a sweep to Optuna's journal, which optuna-dashboard reads while it grows."""

from __future__ import annotations

from pathlib import Path

from sweeps.report.optuna_journal import LiveStudy
from sweeps.report.optuna_study import read_space
from sweeps.trackers.update import SweepInfo, TrialUpdate


class OptunaRuns:
    """See `Runs`."""

    def __init__(self, sweep: SweepInfo) -> None:
        self._sweep = sweep
        self._study: LiveStudy | None = None

    def open(self) -> bool:
        """See `Runs`."""
        sweep, directory = self._sweep, Path(self._sweep.directory)
        self._study = LiveStudy(
            directory / sweep.settings["path"],
            sweep.name,
            sweep.id,
            metric=sweep.metric,
            mode=sweep.mode,
            space=read_space(directory),
        )
        self._study.set_attributes({"sweep": sweep.location, "state": "running"})
        return self._study.has_trials

    def update(self, trial: TrialUpdate) -> None:
        """See `Runs`."""
        if self._study is not None:
            self._study.write(trial.result(self._sweep))

    def close(self, state: str) -> None:
        """See `Runs`."""
        if self._study is not None:
            self._study.set_attributes({"state": state})
