"""The splits of a sweep whose images are in files.

They are drawn once, by the driver, and kept in `split.json`. Every trial of the sweep gets the
same one, so that all trials hold out the same images, also after files have come or gone, and the
folds of one split have every training image once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweeps.spec.search_spec import SearchSpec
from sweeps.storage.location import download
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import ENDED, TrialRecord
from sweeps.terminal.console import print_line
from trainable.artifacts.names import CHECKPOINTS, LATEST_FILE
from trainable.atomic_files import write_text
from trainable.config import FileDataset, TrainConfig
from trainable.data.splits.divide import divide, group_column
from trainable.data.splits.record import SplitRecord
from trainable.errors import CheckpointError, DataError

LOST = "there is no such file"
REMEDY = (
    "restore the file from a copy, or move it away: the split is then taken from the trials' "
    "checkpoints"
)

Key = tuple[int, float | None, int | None, float | None, str | None]
"""`seed`, `val_split`, `folds`, `test_split` and `group_column` of `dataset`."""


class SweepSplits:
    """The splits of a sweep, one for each data set and way to split it that its trials have.

    Writes nothing before the first call of `settings`. A sweep that was started by an older
    version has no `split.json` and keeps its split by position.

    Args:
        spec: The resolved search file.
        layout: The sweep directory.
        records: The recorded trials.

    Raises:
        DataError: The images of a trial that continues do not fit its split.
        SweepError: `split.json` is damaged.
    """

    def __init__(
        self, spec: SearchSpec, layout: SweepLayout, records: Iterable[TrialRecord]
    ) -> None:
        self._path = layout.split_file
        self._splits = read_splits(layout)
        self._is_saved = True
        self._is_older = False
        searches_data = any(key.partition(".")[0] == "dataset" for key in spec.space)
        if not searches_data and not _is_split(spec.training):
            return
        configs = [(record, record.config(spec)) for record in records]
        started = [(record, config) for record, config in configs if _is_split(config)]
        if not self._splits and started:
            self._is_older = not writes_splits(layout)
            if not self._is_older:
                self._recover(layout, started)
        live = [config for record, config in configs if record.state not in ENDED]
        self._compare([*live, *([] if searches_data else [spec.training])])

    def settings(self, config: TrainConfig) -> dict[str, Any] | None:
        """Returns the split of a trial as `TrialRun` takes it; draws it if no trial has had it.

        Returns:
            None if the trial finds its own: its images are not in files, or it continues from
            `checkpoint.resume`, which has the split.
        """
        if not _is_split(config):
            return None
        key = _key(config)
        if key not in self._splits:
            try:
                self._draw(config)
            except DataError:
                return None  # the trial fails with this message
        if not self._is_saved:
            data = [split.to_dict() for split in self._splits.values()]
            write_text(self._path, json.dumps(data, indent=2) + "\n")
            self._is_saved = True
        return self._splits[key].to_dict()

    def _compare(self, configs: Iterable[TrainConfig]) -> None:
        """Compares the images with the splits of trials that continue or are to start.

        Raises:
            DataError: They do not fit.
        """
        different = {_key(config): config for config in configs if _is_split(config)}
        for config in different.values():
            if Path(config.dataset.root).is_dir():  # else, in a cluster, only the nodes have it
                self._draw(config)

    def _draw(self, config: TrainConfig) -> None:
        """Draws the split of a config, unless it is known, and prints what is to be said of it."""
        dataset, key = config.dataset, _key(config)
        assert isinstance(dataset, FileDataset), "the caller has looked"
        split = self._splits.get(key)
        if split is None and self._is_older:
            split = SplitRecord(dataset.seed, dataset.val_split, by_position=True)
        divided = divide(dataset, split or self._find_test_set(key))
        record = replace(divided.record, fold=None)
        for notice in divided.changes if split is not None else ():
            print_line(f"note: {notice}")
        self._is_saved = self._is_saved and record == split
        self._splits[key] = record

    def _find_test_set(self, key: Key) -> SplitRecord | None:
        """Returns another split of the sweep that has the same test set, without the rest of it.

        The test set is then the same also if files have come since that was drawn.
        """
        for other, split in self._splits.items():
            if other[-2:] == key[-2:] and not split.by_position:
                return replace(split.of_test_set(), fingerprints={})
        return None

    def _recover(
        self, layout: SweepLayout, started: Iterable[tuple[TrialRecord, TrainConfig]]
    ) -> None:
        """Reads lost splits from the trials' checkpoints; prints a note about it."""
        from trainable.artifacts.checkpoint import read_checkpoint  # torch
        from trainable.training.saved_split import saved_split

        for record, config in started:
            path = layout.directory / record.directory / CHECKPOINTS / LATEST_FILE
            if _key(config) in self._splits or not path.exists():
                continue
            try:
                split = saved_split(read_checkpoint(download(path)), config.dataset)
            except CheckpointError:
                continue
            if split is not None and not split.by_position:
                self._splits[_key(config)] = replace(split, fold=None)
                self._is_saved = False
                print_line(f"note: {self._path}: {LOST}; the split is read from {path}")


def writes_splits(layout: SweepLayout) -> bool:
    """Whether the sweep was started by a version that writes `split.json`.

    The versions before have recorded another rule for rungs.
    """
    return layout.read_sweep().rungs == "shares"


def read_splits(layout: SweepLayout) -> dict[Key, SplitRecord]:
    """Reads `split.json`; without the file there are no splits.

    Raises:
        SweepError: It is damaged.
    """
    path = layout.split_file
    if not path.exists():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        splits = [SplitRecord.from_dict(entry) for entry in data]
    except OSError as error:
        raise SweepError(f"{path}: cannot be read: {error.strerror}; {REMEDY}") from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise SweepError(f"{path}: not the splits of a sweep: {error!r}; {REMEDY}") from error
    return {
        (split.seed, split.fraction, split.folds, split.test_split, split.group_column): split
        for split in splits
    }


def _key(config: TrainConfig) -> Key:
    dataset = config.dataset
    assert isinstance(dataset, FileDataset), "the caller has looked"
    column = group_column(dataset)
    return dataset.seed, dataset.val_split, dataset.folds, dataset.test_split, column


def _is_split(config: TrainConfig) -> bool:
    """Whether the driver decides on the split of a trial."""
    return isinstance(config.dataset, FileDataset) and config.checkpoint.resume is None
