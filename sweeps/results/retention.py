"""Deletes the checkpoints of all but the best trials: `keep.trials` of the search file."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from sweeps.results.trial_results import ResultReader, TrialRanking, TrialResult, read_results
from sweeps.spec.search_spec import SearchSpec
from sweeps.storage.location import mirror_of
from sweeps.sweep_dir.records import ENDED, TrialRecord
from trainable.artifacts.names import CHECKPOINTS


def surplus_weights(directory: Path, spec: SearchSpec) -> list[Path]:
    """Lists the checkpoints of ended trials that are not among the best `keep.trials`.

    Those of trials with unknown epochs are left out: they may be among the best.

    Args:
        directory: The sweep directory.
        spec: The sweep's search file.

    Returns:
        Checkpoint files and Tune's own checkpoint directories.
    """
    if spec.keep.trials == "all":
        return []
    ranked = read_results(directory, spec.tune.metric, spec.tune.mode, spec.config)
    ended = [result for result in ranked if result.record.state in ENDED and not result.unknown]
    return [path for trial in ended[spec.keep.trials :] for path in _weights(trial.directory)]


def _weights(trial: Path) -> list[Path]:
    return [*trial.glob(f"{CHECKPOINTS}/*.pt"), *trial.glob("checkpoint_*")]


def prune_weights(directory: Path, spec: SearchSpec) -> list[str]:
    """Deletes the checkpoints of ended trials that are not among the best `keep.trials`.

    Configs, metrics and TensorBoard files stay. Trials that have not ended are never touched.

    Args:
        directory: The sweep directory.
        spec: The sweep's search file.

    Returns:
        Names of the trial directories whose checkpoints were deleted.
    """
    paths = surplus_weights(directory, spec)
    _delete_all(directory, paths)
    return list(dict.fromkeys(path.relative_to(directory).parts[0] for path in paths))


class CheckpointRetention:
    """Prunes checkpoints while the sweep runs; every trial is read once, when it has ended.

    Args:
        directory: The sweep directory.
        spec: The sweep's search file.
    """

    def __init__(self, directory: Path, spec: SearchSpec) -> None:
        self._directory = directory
        self.keep = spec.keep.trials
        """Number of trials that keep their checkpoints, which may change while the sweep runs."""
        metric, mode = spec.tune.metric, spec.tune.mode
        self._reader = ResultReader(directory, metric, mode, spec.config, is_live=True)
        self._ranking = TrialRanking(metric, mode)
        self._ended: dict[str, TrialResult] = {}
        """Id -> the trial without its rows, of those that have ended."""
        self._kept: list[TrialResult] = []
        """Ended trials that still have their checkpoints."""

    def forget(self, trial_id: str) -> None:
        """Forgets an ended trial that trains again."""
        result = self._ended.pop(trial_id, None)
        if result is not None and not result.unknown:
            self._ranking.remove(result)
        self._kept = [other for other in self._kept if other.record.id != trial_id]

    def prune(self, records: Iterable[TrialRecord]) -> None:
        """Deletes the checkpoints of ended trials that are not among the best.

        Args:
            records: All trials of the sweep.
        """
        if self.keep == "all":
            return
        for record in records:
            if record.state in ENDED and record.id not in self._ended:
                result = replace(self._reader.read(record), rows=[])
                self._ended[record.id] = result
                if not result.unknown:  # otherwise it may be among the best
                    self._ranking.add(result)
                    self._kept.append(result)
        self._kept.sort(key=self._ranking.sort_key)
        surplus = self._kept[self.keep :]
        del self._kept[self.keep :]
        _delete_all(self._directory, [path for r in surplus for path in _weights(r.directory)])


def _delete_all(directory: Path, paths: list[Path]) -> None:
    mirror = mirror_of(directory)
    if mirror is not None:
        mirror.delete(name for path in paths for name in mirror.object_names(path))
    for path in paths:
        delete(path)


def delete(path: Path) -> None:
    """Deletes a file or a directory with its content, in object storage too."""
    mirror = mirror_of(path)
    if mirror is not None:
        mirror.delete(mirror.object_names(path))
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
