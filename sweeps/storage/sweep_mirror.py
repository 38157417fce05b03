"""Local mirror of a sweep directory in object storage.

Every part of the code that reads or writes a sweep works on a directory. For a sweep at
`s3://bucket/mine` that is a mirror: its small files are downloaded, and its weights are
placeholders until they are needed. The store holds the truth: each process creates its own mirror
and deletes it when it exits.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from sweeps.sweep_dir.layout import (
    ANSWERS,
    BEST_CONFIG,
    EVENTS_FILE,
    LOCK_FILE,
    REPORT,
    REQUEST_FILE,
    REQUESTS,
    SEARCH_FILE,
    SPLIT_FILE,
    STOP_FILE,
    SWEEP_FILE,
    TRACKER_FILES,
    TRACKER_FOLDERS,
    TRIAL_FILE,
    TRIALS_CSV,
    WARM_START_FILE,
)
from trainable.artifacts.names import METRICS_FILE, TENSORBOARD
from trainable.storage import scratch
from trainable.storage.mirror import (
    WEIGHTS,
    Fingerprint,
    Mirror,
    create_placeholder,
    delete_objects,
    fingerprint_of,
    is_placeholder,
)
from trainable.storage.object_store import RETRY_S, ObjectInfo, ObjectStore, run_parallel

DRIVER_FILES = (
    SEARCH_FILE,
    SWEEP_FILE,
    WARM_START_FILE,
    SPLIT_FILE,
    EVENTS_FILE,
    TRIALS_CSV,
    BEST_CONFIG,
    REPORT,
)
"""Files of the sweep that the driver writes, besides every `trial.json`."""
IDLE_TRIAL_FILES = (METRICS_FILE, f"{TENSORBOARD}/*")
"""Files that the driver changes in a trial that is not with a worker: a resume takes metrics rows
back, and the end of a trial is written for TensorBoard."""
EXCHANGED_FILES = re.compile(rf"(.*/)?({REQUESTS}|{ANSWERS})/{REQUEST_FILE.pattern}")
"""Requests to sweeps and their answers, which are no part of the mirror: `request_objects`."""

FRESH_S = 1.0
"""How long after a `pull` a `refresh` does nothing."""
Contents = dict[str, tuple[bytes, Fingerprint]]
"""Name in the store -> content and fingerprint of the local file."""


class SweepMirror(Mirror):
    """Local mirror of a sweep directory, or of a directory of sweeps, in object storage.

    Args:
        uri: The directory's URI.
        retry_s: How long a call to the store is retried.
    """

    def __init__(self, uri: str, *, retry_s: float = RETRY_S) -> None:
        store = ObjectStore(uri, retry_s=retry_s)
        self._scratch = scratch.create()
        super().__init__(self._scratch / store.name, store)
        self.directory.mkdir()
        self._listed: dict[str, ObjectInfo] = {}
        """Objects as they were listed when they were mirrored."""
        self._with_workers: set[str] = set()
        self._downloaded_weights: dict[str, ObjectInfo | None] = {}
        """Objects of the weights as they were listed at the download."""
        self._pulled_at = float("-inf")

    def pull(self, trial: str = "", *, with_records: bool = True) -> None:
        """Brings the mirror up to date with the store.

        Args:
            trial: The name of a trial's directory, to update only that.
            with_records: Whether to update the driver's files, too; False in the driver itself,
                whose local files are newer.

        Raises:
            StorageError: The store cannot be read.
        """
        store = self.store.child(trial) if trial else self.store
        prefix = f"{trial}/" if trial else ""
        listed = {
            f"{prefix}{name}": info
            for name, info in store.list().items()
            if not EXCHANGED_FILES.fullmatch(name)
        }
        self._forget(n for n in list(self._listed) if n.startswith(prefix) and n not in listed)
        wanted = {
            name: info
            for name, info in listed.items()
            if (with_records or not _is_driver_file(name)) and not _is_tracker_file(name)
        }
        run_parallel(
            lambda name: self._update(name, wanted[name]),
            [name for name in wanted if not name.endswith(WEIGHTS)],
        )
        for name, info in wanted.items():
            if name.endswith(WEIGHTS):
                self._update_weights(name, info)
        self._pulled_at = time.monotonic()

    def refresh(self) -> None:
        """Pulls, unless the last pull was less than `FRESH_S` ago."""
        if time.monotonic() - self._pulled_at > FRESH_S:
            self.pull()

    def assign_to_worker(self, trial: str) -> None:
        """Leaves a trial's files to a worker, after its split and its record have been uploaded.

        Raises:
            StorageError: The store does not accept the record.
        """
        record = self.directory / trial / TRIAL_FILE
        if self.name_of(record) not in self._stored:
            paths = self.directory / SPLIT_FILE, record
            self.upload([self._changed_contents([path]) for path in paths])
        self._with_workers.add(trial)

    def sync_trial(self, trial: str) -> None:
        """Downloads the files of a trial that is no longer with a worker."""
        if trial in self._with_workers:
            self._with_workers.remove(trial)
            self.pull(trial, with_records=False)

    def read_live(self, path: Path) -> bytes:
        """Reads a trial's file where it is newest: in the store while a worker has the trial.

        Raises:
            FileNotFoundError: There is no such file.
            StorageError: The store cannot be read.
        """
        if path.parent.name not in self._with_workers:
            return path.read_bytes()
        data = self.store.read(self.name_of(path))
        if data is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return data

    def sync_trials(self) -> None:
        """Downloads the files of all trials, none of which is with a worker any longer."""
        self._with_workers.clear()
        self.pull(with_records=False)

    def read_changes(self) -> list[Contents]:
        """Reads the driver's files whose content is not in the store yet.

        Returns:
            Contents in the order in which they are to be uploaded: a new trial is recorded after
            its split and before the events that name it, and its end is recorded after the events
            that caused it.
        """
        split = [self.directory / SPLIT_FILE]
        sweep_files = [self.directory / name for name in DRIVER_FILES if name != SPLIT_FILE]
        new: list[Path] = []
        old: list[Path] = []
        for path in self.directory.glob(f"*/{TRIAL_FILE}"):
            (old if self.name_of(path) in self._stored else new).append(path)
            if path.parent.name not in self._with_workers:
                for pattern in IDLE_TRIAL_FILES:
                    old += path.parent.glob(pattern)
        changes = [self._changed_contents(paths) for paths in (split, new, sweep_files, old)]
        return [contents for contents in changes if contents]

    def upload(self, changes: list[Contents]) -> None:
        """Uploads what `read_changes` has returned.

        Raises:
            StorageError: The store does not accept it.
        """

        def upload(name: str, contents: Contents) -> None:
            data, fingerprint = contents[name]
            self.store.write(name, data)
            self._stored[name] = fingerprint
            self._listed.pop(name, None)

        for contents in changes:
            run_parallel(partial(upload, contents=contents), contents)

    def download_weights(self, path: Path) -> None:
        """Downloads the bytes of weights unless the local file has them already."""
        name = self.name_of(path)
        info = self._listed.get(name)
        is_outdated = self._downloaded_weights.get(name, info) != info
        if path.exists() and (is_placeholder(path) or is_outdated):
            self.download(name)
            self._downloaded_weights[name] = info

    def evict(self, directory: Path) -> None:
        """Replaces the downloaded weights below a directory by placeholders."""
        prefix = f"{self.name_of(directory)}/"
        for name in [n for n in self._downloaded_weights if n.startswith(prefix)]:
            create_placeholder(self.directory / name, self._listed[name])
            del self._downloaded_weights[name]

    def seed_checkpoint(self, checkpoint: Path, target: Path) -> None:
        """Copies weights within the store to a trial's only checkpoint directory of Tune's."""
        trial = target.parent.parent.name
        prefix = f"{trial}/checkpoint_"
        self.delete([name for name in list(self._listed) if name.startswith(prefix)])
        self.store.copy(self.name_of(checkpoint), self.name_of(target))

    def copy_weights(self, source: Path, target: Path) -> None:
        """Copies weights within the store; the local file is a placeholder."""
        name, copied = self.name_of(source), self.name_of(target)
        self.store.copy(name, copied)
        self._listed[copied] = self._listed[name]
        create_placeholder(target, self._listed[copied])

    def delete(self, names: Iterable[str]) -> None:
        """Deletes objects and their local files."""
        deleted = list(names)
        delete_objects(self.store, deleted)
        self._forget(deleted)

    def object_names(self, path: Path) -> list[str]:
        """Returns the names of the objects at or below a local path."""
        name = self.name_of(path)
        objects = {*list(self._listed), *list(self._stored)}  # pulled ones and uploaded ones
        return [other for other in objects if other == name or other.startswith(f"{name}/")]

    def close(self) -> None:
        """Deletes the mirror."""
        scratch.release(self._scratch)

    def _changed_contents(self, paths: list[Path]) -> Contents:
        contents = {}
        for path in paths:
            with suppress(FileNotFoundError):
                name, fingerprint = self.name_of(path), fingerprint_of(path)
                if not self.is_stored(name, fingerprint) and not path.name.startswith("."):
                    contents[name] = path.read_bytes(), fingerprint
        return contents

    def _update(self, name: str, info: ObjectInfo) -> None:
        """Downloads an object unless the local file is the same or newer."""
        path = self.directory / name
        if path.exists():
            is_ours = name.partition("/")[0] not in self._with_workers
            if is_ours and name in self._stored and not self.is_stored(name, fingerprint_of(path)):
                return  # changed here and not uploaded yet
            previous = self._listed.get(name)
            if previous == info or (previous is None and path.stat().st_size == info.size):
                self._mark_stored(name)
                self._listed[name] = info
                return
        self.download(name)
        self._listed[name] = info

    def _update_weights(self, name: str, info: ObjectInfo) -> None:
        path = self.directory / name
        if path.exists() and self._listed.get(name) == info:
            return
        if not path.exists() or is_placeholder(path):
            create_placeholder(path, info)
        self._listed[name] = info

    def _forget(self, names: Iterable[str]) -> None:
        """Deletes the local files of objects that do not exist any longer."""
        for name in names:
            self._listed.pop(name, None)
            self._stored.pop(name, None)
            self._downloaded_weights.pop(name, None)
            (self.directory / name).unlink(missing_ok=True)


def _is_driver_file(name: str) -> bool:
    return name in {*DRIVER_FILES, LOCK_FILE, STOP_FILE} or name.endswith(f"/{TRIAL_FILE}")


def _is_tracker_file(name: str) -> bool:
    """Returns whether a file is a tracker's, which only the driver downloads."""
    return name.partition("/")[0] in (*TRACKER_FILES, *TRACKER_FOLDERS)
