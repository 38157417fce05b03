"""A local directory that stands for one in object storage: the desk that a sweep is worked on at.

Everything that reads or writes a sweep does it in a directory. Of a sweep at `s3://bucket/mine`
that is a desk, filled from the store: its small files, and in place of its weights empty files of
their size, which take no room. `bring` gets the bytes of one. The store is the truth; a desk is
made anew by every process and goes with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from sweeps.sweep_dir.layout import (
    BEST_CONFIG,
    EVENTS_FILE,
    LOCK_FILE,
    REPORT,
    SEARCH_FILE,
    STOP_FILE,
    SWEEP_FILE,
    TRIAL_FILE,
    TRIALS_CSV,
    WARM_START_FILE,
)
from trainable.artifacts.names import METRICS_FILE
from trainable.storage import scratch
from trainable.storage.mirror import WEIGHTS, Mark, is_stand_in, mark_of, stand_in
from trainable.storage.object_store import PATIENCE_S, Remote, Stored, at_once

OF_THE_DRIVER = (
    SEARCH_FILE,
    SWEEP_FILE,
    WARM_START_FILE,
    EVENTS_FILE,
    TRIALS_CSV,
    BEST_CONFIG,
    REPORT,
)
"""What the process that runs a sweep writes, besides every `trial.json`."""
OF_AN_IDLE_TRIAL = (METRICS_FILE, "tensorboard/*")
"""What that process changes of a trial which no worker has: a resume takes rows back, and an end
is noted for TensorBoard."""


FRESH_S = 1.0
Contents = dict[str, tuple[bytes, Mark]]
"""Of files, by their names in the store."""


class Desk:
    """The local side of a directory in object storage.

    Args:
        uri: The directory's address.
        patience_s: How long a call to the store goes on trying.
    """

    def __init__(self, uri: str, *, patience_s: float = PATIENCE_S) -> None:
        self.remote = Remote(uri, patience_s=patience_s)
        self.place = scratch.new_place()
        self.directory = self.place / self.remote.name
        self.directory.mkdir()
        self._seen: dict[str, Stored] = {}
        self._marks: dict[str, Mark] = {}
        self._with_workers: set[str] = set()
        self._brought: set[str] = set()
        self._pulled = float("-inf")

    def pull(self, trial: str = "", *, with_records: bool = True) -> None:
        """Makes the desk what the store is by now.

        Args:
            trial: The name of a trial's directory, if only that is asked for.
            with_records: Whether to take what the process that runs the sweep writes; not in that
                process, which knows better.

        Raises:
            StorageError: The store does not answer.
        """
        below = self.remote.child(trial) if trial else self.remote
        before = f"{trial}/" if trial else ""
        listed = {f"{before}{name}": stored for name, stored in below.list().items()}
        for name in [n for n in list(self._seen) if n.startswith(before) and n not in listed]:
            self._seen.pop(name)
            self._marks.pop(name, None)
            (self.directory / name).unlink(missing_ok=True)
        wanted = {
            name: stored
            for name, stored in listed.items()
            if with_records or not self._is_record(name)
        }
        at_once(
            lambda name: self._take(name, wanted[name]),
            [name for name in wanted if not name.endswith(WEIGHTS)],
        )
        for name, stored in wanted.items():
            path = self.directory / name
            if name.endswith(WEIGHTS) and not (path.exists() and self._seen.get(name) == stored):
                if not path.exists() or is_stand_in(path):
                    stand_in(path, stored)
                self._seen[name] = stored
        self._pulled = time.monotonic()

    def refresh(self) -> None:
        """`pull`, unless that has only just been done."""
        if time.monotonic() - self._pulled > FRESH_S:
            self.pull()

    def collect(self, trial: str) -> None:
        """Takes what a trial has left, wherever it was trained; no worker has it any more."""
        if trial in self._with_workers:
            self._with_workers.remove(trial)
            self.pull(trial, with_records=False)

    def hand_over(self, trial: str) -> None:
        """Leaves a trial's files to a worker; its record is in the store before any of them.

        Raises:
            StorageError: The store does not take the record.
        """
        record = self.directory / trial / TRIAL_FILE
        if self.name(record) not in self._marks:
            self.send([self._contents([record])])
        self._with_workers.add(trial)

    def collect_all(self) -> None:
        """Takes what all trials have left; no worker has any of them."""
        self._with_workers.clear()
        self.pull(with_records=False)

    def changed(self) -> list[Contents]:
        """The contents of the files of this process that the store does not have yet.

        In the order in which they are to get there: a new trial is recorded before anything is
        said of it, and that it has ended only after the events that say so.
        """
        of_the_sweep = [self.directory / name for name in OF_THE_DRIVER]
        new: list[Path] = []
        old: list[Path] = []
        for path in self.directory.glob(f"*/{TRIAL_FILE}"):
            (old if self.name(path) in self._marks else new).append(path)
            if path.parent.name not in self._with_workers:
                for pattern in OF_AN_IDLE_TRIAL:
                    old += path.parent.glob(pattern)
        found = [self._contents(paths) for paths in (new, of_the_sweep, old)]
        return [contents for contents in found if contents]

    def _contents(self, paths: list[Path]) -> Contents:
        found = {}
        for path in paths:
            with suppress(FileNotFoundError):
                mark = mark_of(path)
                if self._marks.get(self.name(path)) != mark and not path.name.startswith("."):
                    found[self.name(path)] = path.read_bytes(), mark
        return found

    def send(self, changed: list[Contents]) -> None:
        """Brings what `changed` has found into the store.

        Raises:
            StorageError: The store does not take it.
        """

        def send(name: str, contents: Contents) -> None:
            data, mark = contents[name]
            self.remote.write(name, data)
            self._marks[name] = mark
            self._seen.pop(name, None)

        for contents in changed:
            at_once(partial(send, contents=contents), contents)

    def bring(self, path: Path) -> None:
        """Gets the bytes of a file of weights."""
        if path.exists() and is_stand_in(path):
            self.remote.download(self.name(path), path)
            self._brought.add(self.name(path))

    def let_go(self, directory: Path) -> None:
        """Drops the bytes of weights below a directory: they are in the store."""
        before = f"{self.name(directory)}/"
        for name in [name for name in self._brought if name.startswith(before)]:
            stand_in(self.directory / name, self._seen[name])
            self._brought.remove(name)

    def begin_from(self, checkpoint: Path, target: Path) -> None:
        """Makes a file of weights a trial's only checkpoint of Tune's; nothing is sent."""
        trial = target.parent.parent.name
        start = f"{trial}/checkpoint_"
        old = [name for name in list(self._seen) if name.startswith(start)]
        self.delete(old)
        self.remote.copy(self.name(checkpoint), self.name(target))

    def delete(self, names: Iterable[str]) -> None:
        """Deletes objects, and what stands for them here."""
        gone = list(names)
        self.remote.delete(gone)
        for name in gone:
            self._seen.pop(name, None)
            self._marks.pop(name, None)
            (self.directory / name).unlink(missing_ok=True)

    def objects(self, path: Path) -> list[str]:
        """The names of the objects that a file or a directory here stands for."""
        name = self.name(path)
        known = {*list(self._seen), *list(self._marks)}  # what was pulled, and what was sent
        return [each for each in known if each == name or each.startswith(f"{name}/")]

    def name(self, path: Path) -> str:
        """What a path here is called in the store."""
        return path.absolute().relative_to(self.directory).as_posix()

    def close(self) -> None:
        """Takes the desk away."""
        scratch.let_go(self.place)

    def _is_record(self, name: str) -> bool:
        return name in {*OF_THE_DRIVER, LOCK_FILE, STOP_FILE} or name.endswith(f"/{TRIAL_FILE}")

    def _take(self, name: str, stored: Stored) -> None:
        path = self.directory / name
        if path.exists():
            known = self._seen.get(name)
            is_ours = name.partition("/")[0] not in self._with_workers
            if is_ours and name in self._marks and self._marks[name] != mark_of(path):
                return  # changed here and not sent yet
            if known == stored or (known is None and path.stat().st_size == stored.size):
                self._note(name, stored)
                return
        self.remote.download(name, path)
        self._note(name, stored)

    def _note(self, name: str, stored: Stored) -> None:
        self._seen[name] = stored
        self._marks[name] = mark_of(self.directory / name)
