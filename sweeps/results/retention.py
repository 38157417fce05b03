"""Which trials keep their weights: `keep.trials` of the search file."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from sweeps.results.trial_results import TrialRanking, TrialResult, read_result, read_results
from sweeps.spec.search_spec import SearchSpec
from sweeps.storage.location import desk_of
from sweeps.sweep_dir.records import ENDED, TrialRecord


def surplus_weights(directory: Path, spec: SearchSpec) -> list[Path]:
    """The checkpoints of ended trials below the best that are to keep theirs.

    Args:
        directory: The sweep's.
        spec: Its search file.

    Returns:
        Files, and checkpoint directories of Tune's own.
    """
    if spec.keep.trials == "all":
        return []
    ranked = read_results(directory, spec.tune.metric, spec.tune.mode)
    ended = [result.directory for result in ranked if result.record.state in ENDED]
    return [path for trial in ended[spec.keep.trials :] for path in _weights(trial)]


def _weights(trial: Path) -> list[Path]:
    return [*trial.glob("checkpoints/*.pt"), *trial.glob("checkpoint_*")]


def prune_weights(directory: Path, spec: SearchSpec) -> list[str]:
    """Deletes the checkpoints of ended trials below the best that are to keep theirs.

    Configs, metrics and curves stay. Trials that have not ended are never touched.

    Args:
        directory: The sweep's.
        spec: Its search file.

    Returns:
        Names of the trial directories that lost their weights.
    """
    paths = surplus_weights(directory, spec)
    _delete_all(directory, paths)
    return list(dict.fromkeys(path.relative_to(directory).parts[0] for path in paths))


class CheckpointRetention:
    """The same for a sweep that runs: each trial is looked at once, when it has ended.

    Args:
        directory: The sweep's.
        spec: Its search file.
    """

    def __init__(self, directory: Path, spec: SearchSpec) -> None:
        self._directory = directory
        self._keep = spec.keep.trials
        self._metric, self._mode = spec.tune.metric, spec.tune.mode
        self._standings = TrialRanking(self._metric, self._mode)
        self._ended: set[str] = set()
        self._holders: list[TrialResult] = []
        """Ended trials that have their weights."""

    def prune(self, records: Iterable[TrialRecord]) -> None:
        """Deletes the checkpoints of trials that have ended and are not of the best.

        Args:
            records: Every trial.
        """
        if self._keep == "all":
            return
        for record in records:
            if record.state in ENDED and record.id not in self._ended:
                self._ended.add(record.id)
                result = read_result(self._directory, record, self._metric, self._mode)
                self._standings.add(result)
                self._holders.append(replace(result, rows=[]))
        self._holders.sort(key=self._standings.order)
        surplus = self._holders[self._keep :]
        del self._holders[self._keep :]
        _delete_all(self._directory, [path for s in surplus for path in _weights(s.directory)])


def _delete_all(directory: Path, paths: list[Path]) -> None:
    desk = desk_of(directory)
    if desk is not None:
        desk.delete(name for path in paths for name in desk.objects(path))
    for path in paths:
        delete(path)


def delete(path: Path) -> None:
    """Deletes a file, or a directory with all that is in it, wherever it really is."""
    desk = desk_of(path)
    if desk is not None:
        desk.delete(desk.objects(path))
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
