"""One sweep in memory, of which each look reads only what has changed on disk.

A trial is read again when the time or the size of its `trial.json`
or `metrics.jsonl` has changed; of a trial that runs, only the new lines are.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sweeps.results.loaded_sweep import LoadedSweep, current_state
from sweeps.results.status import status_values
from sweeps.results.stored_spec import describe_bad_values, read_search
from sweeps.results.trial_results import (
    ResultReader,
    TrialRanking,
    TrialResult,
    best_row,
    inherited_row,
)
from sweeps.spec.search_spec import SearchSpec
from sweeps.storage.location import refresh, store_of
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import (
    EVENTS_FILE,
    REMEDY,
    SEARCH_FILE,
    SWEEP_FILE,
    TRIAL_FILE,
    SweepLayout,
)
from sweeps.sweep_dir.records import ENDED, SweepRecord, TrialRecord
from sweeps.ui.rows_tail import RowsTail
from sweeps.ui.trial_files import describe_foreign
from trainable.artifacts.names import METRICS_FILE
from trainable.errors import TuneSweepsError

SUMMARY_MAX_AGE_S = 60.0
LOOK_INTERVAL_S = 0.5
"""A look at a sweep's files that is younger serves the next page, too."""
STORE_INTERVAL_S = 5.0
"""Seconds between two listings of a sweep in object storage."""
STORE_LOCK = threading.Lock()
"""Held while a mirror of object storage is updated, or a request waits for its answer there."""
Stamp = tuple[int, int, int] | None
"""Time of the last change in nanoseconds, size and inode of a file; None if there is none."""


def stamp_of(path: Path | str) -> Stamp:
    """Returns what changes when a file does."""
    try:
        status = os.stat(path)  # noqa: PTH116 (thousands a look; a `Path` costs five times as much)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


@dataclass(frozen=True)
class SweepView:
    """A sweep as one look at its files found it."""

    key: str
    """Names the sweep in addresses."""
    sweep: LoadedSweep
    """A trial that has not changed is the same object as in the view before."""
    version: int
    """Larger than that of the view before if anything has changed."""
    changed: dict[str, int]
    """Trial id -> the version in which it was read last."""
    created: dict[str, int]
    """Trial id -> the first version that has it."""
    replaced_in: int
    """The last version in which trials or keys of the space have gone or come, so that a table
    of an earlier version is to be replaced."""
    problem: str | None = None
    """Why this look failed; the sweep is then as an earlier look found it."""

    @cached_property
    def status(self) -> dict[str, Any]:
        """The values of `sweep status --json`; the times are those of the first call."""
        return status_values(self.sweep)

    @cached_property
    def by_id(self) -> dict[str, TrialResult]:
        """Trial id -> trial."""
        return {result.record.id: result for result in self.sweep.results}


@dataclass
class _Trial:
    """The memory of one trial."""

    key: tuple[Any, ...]
    """Changes when the trial has to be read again."""
    record: TrialRecord | None
    result: TrialResult | None
    problem: str | None
    tail: RowsTail
    version: int
    created: int


@dataclass
class _Loaded:
    """The files of the sweep as a whole, as they were read last."""

    stamps: tuple[Stamp, Stamp]
    spec: SearchSpec
    search: dict[str, Any]
    record: SweepRecord


class CachedSweep:
    """One sweep in memory.

    Args:
        key: Names the sweep in addresses.
        directory: Its directory.
    """

    def __init__(self, key: str, directory: Path) -> None:
        self.key, self.directory = key, directory
        self._layout = SweepLayout(directory)
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None
        self._trials: dict[str, _Trial] = {}
        self._view: SweepView | None = None
        self._looked_at = self._listed_at = float("-inf")
        self._first_version = time.time_ns() // 1_000_000
        """Larger than every version of an earlier server, which a page may still show."""
        self._links: list[str] = []
        """A sentence about each directory that is a link to elsewhere."""
        self._summary: tuple[Stamp, float, dict[str, Any]] | None = None
        """When the values of an ended sweep's last `summarize` were computed, and these."""

    @property
    def is_read(self) -> bool:
        """Whether the sweep has been read before."""
        return self._view is not None or self._summary is not None

    def summarize(
        self, compute: Callable[[SweepView], dict[str, Any]], *, may_be_old: bool = False
    ) -> dict[str, Any]:
        """Returns values of the sweep; those of a sweep that does not run are kept for a minute.

        Args:
            compute: Computes them, always in the same way.
            may_be_old: Whether those of an ended sweep serve after a minute, too.

        Raises:
            TuneSweepsError: The sweep has never been readable.
        """
        stamp = stamp_of(self.directory / SWEEP_FILE)
        if self._summary is not None:
            stamp_before, computed_at, values = self._summary
            is_fresh = time.monotonic() - computed_at < SUMMARY_MAX_AGE_S
            if (is_fresh or may_be_old) and stamp == stamp_before:
                return values
        view = self.view()
        values = compute(view)
        is_ended = view.sweep.state != "running" and view.problem is None
        self._summary = (stamp, time.monotonic(), values) if is_ended else None
        return values

    def forget(self) -> None:
        """Gives the memory of the sweep's trials back; the next view reads them again."""
        with self._lock:
            if self._view is not None:
                self._first_version = self._next_version
            self._view, self._loaded, self._trials = None, None, {}
            self._looked_at = float("-inf")

    def view(self) -> SweepView:
        """Returns the sweep as its files are now, or were a moment ago.

        Raises:
            TuneSweepsError: The sweep has never been readable.
        """
        with self._lock:
            if time.monotonic() - self._looked_at < LOOK_INTERVAL_S and self._view is not None:
                return self._view
            try:
                self._look()
            except (TuneSweepsError, OSError) as error:
                self._note_problem(str(error))
                if self._view is None:
                    raise
            self._looked_at = time.monotonic()
            assert self._view is not None, "a look that succeeds makes a view"
            return self._view

    def _note_problem(self, problem: str) -> None:
        view = self._view
        if view is not None and view.problem != problem:
            self._view = replace(view, version=view.version + 1, problem=problem)

    def _look(self) -> None:
        """Replaces the view if a file has changed."""
        self._refresh_mirror()
        loaded = self._load()
        state = current_state(self.directory, loaded.record)
        is_changed = self._read_trials(loaded, is_live=state == "running")
        view = self._view
        is_same = (
            view is not None
            and not is_changed
            and view.problem is None
            and view.sweep.state == state
            and view.sweep.record is loaded.record
            and view.sweep.search is loaded.search
        )
        if is_same:
            return
        problems = [trial.problem for trial in self._trials.values() if trial.problem]
        problems += self._links
        results = [trial.result for trial in self._trials.values() if trial.result is not None]
        tune = loaded.search["tune"]
        ranking = TrialRanking(tune["metric"], tune["mode"])
        for result in results:
            ranking.add(result)
        results.sort(key=ranking.sort_key)
        sweep = LoadedSweep(
            self.directory.absolute(), loaded.record, state, loaded.search, results, problems
        )
        self._view = self._make_view(sweep)

    def _make_view(self, sweep: LoadedSweep) -> SweepView:
        trials = [trial for trial in self._trials.values() if trial.record is not None]
        by_id = {trial.record.id: trial for trial in trials if trial.record is not None}
        before = self._view
        replaced_in = self._next_version
        if before is not None:
            is_same_table = (
                before.sweep.sampled_keys == sweep.sampled_keys
                and before.by_id.keys() <= {result.record.id for result in sweep.results}
            )
            if is_same_table:
                replaced_in = before.replaced_in
        return SweepView(
            self.key,
            sweep,
            self._next_version,
            changed={id_: trial.version for id_, trial in by_id.items()},
            created={id_: trial.created for id_, trial in by_id.items()},
            replaced_in=replaced_in,
        )

    @property
    def _next_version(self) -> int:
        return self._first_version if self._view is None else self._view.version + 1

    def _refresh_mirror(self) -> None:
        is_due = time.monotonic() - self._listed_at > STORE_INTERVAL_S
        if store_of(self.directory) is None or not is_due:
            return
        if STORE_LOCK.acquire(blocking=False):
            try:
                self._listed_at = time.monotonic()
                refresh(self.directory)
            finally:
                STORE_LOCK.release()

    def _load(self) -> _Loaded:
        """Reads `sweep.json` and the search file if they have changed."""
        names = SWEEP_FILE, SEARCH_FILE
        sweep_stamp, search_stamp = (stamp_of(self.directory / name) for name in names)
        before = self._loaded
        if before is not None and before.stamps == (sweep_stamp, search_stamp):
            return before
        if foreign := describe_foreign(self.directory, (*names, EVENTS_FILE)):
            raise SweepError(foreign)
        record = self._layout.read_sweep()
        if before is not None and before.stamps[1] == search_stamp:
            spec, search = before.spec, before.search
        else:
            spec, search = read_search(self.directory)
        self._loaded = _Loaded((sweep_stamp, search_stamp), spec, search, record)
        return self._loaded

    def _read_trials(self, loaded: _Loaded, *, is_live: bool) -> bool:
        """Reads the trials whose files have changed; returns whether there were any."""
        tune = loaded.search["tune"]
        reader = ResultReader(
            self.directory, tune["metric"], tune["mode"], loaded.search["config"], is_live=is_live
        )
        names = self._trial_directories()
        is_changed = bool(self._trials.keys() - names)
        for name in self._trials.keys() - names:
            del self._trials[name]
        for name in sorted(names):
            path = f"{self.directory}/{name}"
            stamps = stamp_of(f"{path}/{TRIAL_FILE}"), stamp_of(f"{path}/{METRICS_FILE}")
            before = self._trials.get(name)
            if before is not None and before.key == (*stamps, is_live, id(loaded.search)):
                continue
            if stamps == (None, None) and before is None:
                continue  # a directory of something else
            key = (*stamps, is_live, id(loaded.search))
            self._trials[name] = self._read_trial(name, key, loaded, reader, is_live)
            is_changed = True
        return is_changed

    def _trial_directories(self) -> set[str]:
        """Returns the names of the directories in the sweep, without links to elsewhere."""
        with os.scandir(self.directory) as entries:
            directories = [entry for entry in entries if entry.is_dir()]
        home = self.directory.resolve()
        links = {
            entry.name
            for entry in directories
            if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(home)
        }
        self._links = [
            f"{self.directory / name}: is a link out of the sweep's directory, so it is left out"
            for name in sorted(links)
            if (self.directory / name / TRIAL_FILE).exists()
        ]
        return {entry.name for entry in directories} - links

    def _read_trial(
        self, name: str, key: tuple[Any, ...], loaded: _Loaded, reader: ResultReader, is_live: bool
    ) -> _Trial:
        before = self._trials.get(name)
        tail = RowsTail(self.directory / name / METRICS_FILE) if before is None else before.tail
        version = self._next_version
        is_new = before is None or before.result is None
        created = version if before is None or is_new else before.created
        trial = _Trial(key, None, None, None, tail, version, created)
        try:
            if foreign := describe_foreign(self.directory / name):
                raise SweepError(foreign)
            if before is not None and before.record and _same_record(before.key, key):
                trial.record, trial.problem = before.record, before.problem
            else:
                trial.record = self._layout.read_trial(name)
                trial.problem = describe_bad_values(self._layout, loaded.spec, trial.record)
            if trial.problem is None:
                trial.result = self._read_result(trial, loaded, reader, is_live)
        except (TuneSweepsError, OSError) as error:
            trial.problem = f"{error}; {REMEDY}"
        return trial

    def _read_result(
        self, trial: _Trial, loaded: _Loaded, reader: ResultReader, is_live: bool
    ) -> TrialResult:
        record, tune = trial.record, loaded.search["tune"]
        assert record is not None, "only readable records have results"
        rows = trial.tail.read() if is_live and record.state not in ENDED else None
        if rows is None:
            trial.tail = RowsTail(self.directory / record.directory / METRICS_FILE)
            return reader.read(record)
        own_best = best_row(rows, tune["metric"], tune["mode"])
        inherited = inherited_row(rows, tune["metric"], tune["mode"])
        return TrialResult(record, self.directory / record.directory, rows, own_best, inherited)


def _same_record(before: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    """Returns whether neither a trial's record nor the search file has changed."""
    return (before[0], before[-1]) == (now[0], now[-1])
