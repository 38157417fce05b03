"""Loads a sweep for those who only look at it: running, paused, finished or copied elsewhere.

Its files are enough, and none of them is changed. Needs no Ray and no torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sweeps.results.aggregate import Configuration, pareto_front, repeated_configurations
from sweeps.results.trial_results import TrialResult, best_row, read_result, read_results
from sweeps.spec.settings import count_trials
from sweeps.storage.location import refresh
from sweeps.storage.lock import is_running
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import LOCK_FILE, SweepLayout
from sweeps.sweep_dir.records import ENDED, SweepRecord, TrialRecord
from trainable.config.names import suggestion
from trainable.config.yaml_reader import read_yaml

SHOWN_IDS = 8
"""How many of the trials that a prefix fits are named."""


@dataclass(frozen=True)
class LoadedSweep:
    """A sweep as its files tell it at one moment."""

    directory: Path
    record: SweepRecord
    state: str
    """That of the record; `interrupted` if its process has died since."""
    search: dict[str, Any]
    """The resolved search file's plain values."""
    results: list[TrialResult]
    """Best first."""

    @property
    def metric(self) -> str:
        """What trials are ranked by."""
        return str(self.search["tune"]["metric"])

    @property
    def mode(self) -> str:
        """`max` or `min`."""
        return str(self.search["tune"]["mode"])

    @property
    def metrics(self) -> dict[str, str]:
        """All that trials are compared by, each with its mode; the first one ranks."""
        return {self.metric: self.mode, **(self.search["tune"].get("pareto") or {})}

    @property
    def total(self) -> int:
        """Trials the sweep is to have, repeats and finals too."""
        tune = self.search["tune"]
        given = tune.get("final")
        final = (given["top"], given["repeats"]) if given else None
        found = count_trials(int(tune["num_samples"]), int(tune.get("repeats", 1)), final)
        return max(found, len(self.results))

    @property
    def best(self) -> TrialResult | None:
        """The best trial; None if none has completed an epoch."""
        return self.results[0] if self.results and self.results[0].best is not None else None

    def best_entry(self) -> dict[str, Any] | None:
        """The best trial's id, metric and epoch as plain values."""
        best = self.best
        if best is None or best.best is None:
            return None
        value, epoch = best.best[self.metric], best.best["epoch"]
        entry = {"trial": best.record.id, "metric": self.metric, "value": value, "epoch": epoch}
        return {**entry, "copies": self.copies[0].entry} if self.copies else entry

    @cached_property
    def copies(self) -> list[Configuration]:
        """The configurations, best first, where there are several trials of one; else none."""
        return repeated_configurations(self.results, self.metric)

    @cached_property
    def front(self) -> list[TrialResult]:
        """The Pareto front of a sweep with `tune.pareto`; of another one nothing."""
        return pareto_front(self.results, self.metrics) if len(self.metrics) > 1 else []

    @property
    def best_label(self) -> str:
        """What to call the best trial: only a finished sweep has more than a best so far."""
        return "best" if self.state == "finished" else "best so far"

    @property
    def states(self) -> Counter[str]:
        """State -> number of trials."""
        return Counter(result.record.state for result in self.results)

    @property
    def ended(self) -> int:
        """Trials that have come to their end."""
        return sum(result.record.state in ENDED for result in self.results)

    @cached_property
    def keys(self) -> list[str]:
        """Every sampled key, in the order in which trials have them."""
        records = sorted((result.record for result in self.results), key=lambda r: r.number)
        return list(dict.fromkeys(key for record in records for key in record.values))

    def epochs(self, record: TrialRecord) -> int:
        """The epochs a trial trains in all, if nothing ends it early."""
        values = {**record.current, **record.changes}
        return int(values.get("training.epochs", self.search["config"]["training"]["epochs"]))

    def saved_epochs(self) -> int:
        """Epochs that the scheduler's stopping of trials has saved."""
        return sum(
            max(0, self.epochs(result.record) - _epoch(result.last))
            for result in self.results
            if result.record.state == "stopped"
        )

    def find(self, name: str) -> TrialResult:
        """The trial that a name stands for; see `find_trial`."""
        chosen = find_trial(self.directory, [result.record for result in self.results], name)
        return next(result for result in self.results if result.record is chosen)


def load(directory: Path) -> LoadedSweep:
    """Reads a whole sweep.

    Raises:
        SweepError: The directory holds no sweep.
        ConfigError: Its search file is broken.
    """
    record, search = _heading(directory)
    tune = search["tune"]
    return LoadedSweep(
        directory.absolute(),
        record,
        current_state(directory, record),
        search,
        read_results(directory.absolute(), tune["metric"], tune["mode"]),
    )


def load_trials(directory: Path, names: Sequence[str]) -> tuple[LoadedSweep, list[TrialResult]]:
    """Reads some trials of a sweep, and of the others no metrics.

    Args:
        directory: The sweep's.
        names: Of trials; see `find_trial`.

    Returns:
        The sweep with these trials alone, and the trials in the order of their names.

    Raises:
        SweepError: The directory holds no sweep, or a name stands for no trial or for several.
        ConfigError: The search file is broken.
    """
    record, search = _heading(directory)
    records = SweepLayout(directory).read_trials()
    chosen = [find_trial(directory, records, name) for name in names]
    metric, mode = search["tune"]["metric"], search["tune"]["mode"]
    results = [read_result(directory.absolute(), trial, metric, mode) for trial in chosen]
    state = current_state(directory, record)
    return LoadedSweep(directory.absolute(), record, state, search, results), results


def _heading(directory: Path) -> tuple[SweepRecord, dict[str, Any]]:
    refresh(directory)
    layout = SweepLayout(directory)
    record = layout.read_sweep()
    return record, read_yaml(layout.search_file).data


def current_state(directory: Path, record: SweepRecord) -> str:
    """The state of a sweep; `interrupted` if it says it is running and nobody runs it."""
    if record.state != "running":
        return record.state
    if not (directory / LOCK_FILE).exists():
        return "interrupted"
    try:
        return "running" if is_running(directory) else "interrupted"
    except SweepError:  # not even a lock can be tried there
        return record.state


def find_record(directory: Path, name: str) -> TrialRecord:
    """The record of the trial of a sweep that a name stands for, nothing else read.

    Raises:
        SweepError: The directory holds no sweep, or the name stands for no trial or for several.
    """
    refresh(directory)
    layout = SweepLayout(directory)
    layout.read_sweep()
    return find_trial(directory, layout.read_trials(), name)


def find_trial(directory: Path, records: Sequence[TrialRecord], name: str) -> TrialRecord:
    """The trial of a sweep that a name stands for.

    Args:
        directory: The sweep's, for messages.
        records: Its trials.
        name: The beginning of its id, or its directory.

    Raises:
        SweepError: It stands for no trial, or for several.
    """
    base = Path(name).name
    found = [r for r in records if base == r.directory or (name and r.id.startswith(name))]
    exact = [record for record in found if name == record.id]
    if len(found) == 1 or exact:
        return (exact or found)[0]
    if not found:
        ids = [record.id for record in records]
        near = suggestion(name, ids) if ids else "; it has none yet"
        raise SweepError(f'{directory}: no trial has an id that begins with "{name}"{near}')
    ids = sorted(record.id for record in found)
    more = f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else ""
    raise SweepError(
        f'{directory}: "{name}" is the beginning of {len(ids)} ids, give more of the one you '
        f"mean: {', '.join(ids[:SHOWN_IDS])}{more}"
    )


def best_checkpoint_epoch(result: TrialResult) -> int | None:
    """The epoch of a trial's `best.pt`, which is always that of the best val_acc."""
    row = best_row(result.rows, "val_acc", "max")
    return None if row is None else int(row["epoch"])


def _epoch(row: dict[str, Any] | None) -> int:
    return 0 if row is None else int(row["epoch"])
