"""The validation splits of a sweep whose images are in folders.

They are drawn once, by the driver, and kept in `split.json`. Every trial of the sweep gets the
same one, so that all trials hold out the same images, also after files have come or gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import ENDED, TrialRecord
from sweeps.terminal.console import print_line
from trainable.atomic_files import write_text
from trainable.config import ImageFolderDataset, TrainConfig
from trainable.data.split_record import SplitRecord, split_folder
from trainable.errors import DataError

Key = tuple[int, float | None]
"""`dataset.seed` and `dataset.val_split`."""


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
        self._splits = self._read()
        self._is_saved = True
        self._is_older = False
        searches_data = any(key.partition(".")[0] == "dataset" for key in spec.space)
        if not searches_data and not _is_split(spec.training):
            return
        configs = [(record.state, record.config(spec)) for record in records]
        self._is_older = not self._splits and any(_is_split(config) for _, config in configs)
        live = [config for state, config in configs if state not in ENDED]
        self._compare([*live, *([] if searches_data else [spec.training])])

    def settings(self, config: TrainConfig) -> dict[str, Any] | None:
        """Returns the split of a trial as `TrialRun` takes it; draws it if no trial has had it.

        Returns:
            None if the trial finds its own: its images are not in folders, or it continues from
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
        assert isinstance(dataset, ImageFolderDataset), "the caller has looked"
        split = self._splits.get(key)
        if split is None and self._is_older:
            split = SplitRecord(dataset.seed, dataset.val_split, by_position=True)
        folder = split_folder(dataset, split)
        for notice in folder.changes:
            print_line(f"note: {notice}")
        self._is_saved = self._is_saved and folder.record == split
        self._splits[key] = folder.record

    def _read(self) -> dict[Key, SplitRecord]:
        if not self._path.exists():
            return {}
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
            splits = [SplitRecord.from_dict(entry) for entry in data]
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise SweepError(f"{self._path}: not the splits of a sweep: {error!r}") from error
        return {(split.seed, split.fraction): split for split in splits}


def _key(config: TrainConfig) -> Key:
    return config.dataset.seed, config.dataset.val_split


def _is_split(config: TrainConfig) -> bool:
    """Whether the driver decides on the split of a trial."""
    return isinstance(config.dataset, ImageFolderDataset) and config.checkpoint.resume is None
