"""Loads a sweep for reading: running, paused, finished or copied from elsewhere.

Reads the sweep's files only and changes none of them. Needs neither Ray nor torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from sweeps.results.aggregate import Configuration, pareto_front, repeated_configurations
from sweeps.results.stored_spec import describe_bad_values, read_search
from sweeps.results.trial_results import (
    ResultReader,
    TrialResult,
    best_row,
    describe_missing_best,
    inherited_row,
)
from sweeps.spec.schedulers import SchedulerConfig, scheduler_rungs
from sweeps.spec.settings import count_trials
from sweeps.storage.location import refresh
from sweeps.storage.lock import is_running
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import LOCK_FILE, SweepLayout
from sweeps.sweep_dir.records import BY_HAND, ENDED, SweepRecord, TrialRecord
from trainable.artifacts.metrics import ACCURACY, accuracy_beside, monitor_of
from trainable.artifacts.names import CONFIG_FILE
from trainable.config.names import suggestion
from trainable.config.schema import Section

MAX_IDS_SHOWN = 8
"""Trial ids that the error about an ambiguous prefix lists."""


@dataclass(frozen=True)
class LoadedSweep:
    """A sweep as its files describe it at one moment."""

    directory: Path
    record: SweepRecord
    state: str
    """The recorded state; `interrupted` if the driver has died since."""
    search: dict[str, Any]
    """The resolved search file as plain values."""
    results: list[TrialResult]
    """Best first."""
    unreadable: list[str] = field(default_factory=list)
    """A sentence about each trial whose record cannot be read; `results` is without it."""

    @property
    def damage(self) -> list[str]:
        """A sentence, with the remedy, about every file of the sweep that is damaged.

        Another trial than the one in `best` may be better if it is not empty.
        """
        return [*self.unreadable, *(result.damage for result in self.results if result.damage)]

    @property
    def metric(self) -> str:
        """The metric that ranks the trials."""
        return str(self.search["tune"]["metric"])

    @property
    def mode(self) -> str:
        """`max` or `min`."""
        return str(self.search["tune"]["mode"])

    @property
    def metrics(self) -> dict[str, str]:
        """Every metric that trials are compared by -> its mode; the first one ranks."""
        return {self.metric: self.mode, **(self.search["tune"].get("pareto") or {})}

    @property
    def saves_checkpoints(self) -> bool:
        """Whether `checkpoint.enabled` is true in the training config."""
        return bool((self.search["config"].get("checkpoint") or {}).get("enabled"))

    @property
    def total(self) -> int:
        """Number of trials when the sweep is complete, including repeats and final trials.

        Configurations that were added by hand count as well.
        """
        tune = self.search["tune"]
        section = tune.get("final")
        final = (section["top"], section["repeats"]) if section else None
        planned = count_trials(
            int(tune["num_samples"]),
            int(tune.get("repeats", 1)),
            final,
            added=self.record.added,
            created=(result.record for result in self.results),
        )
        return max(planned, len(self.results))

    @property
    def best(self) -> TrialResult | None:
        """The best trial; None if no trial has an epoch with finite losses."""
        return self.results[0] if self.results and self.results[0].best is not None else None

    @property
    def missing_best(self) -> str:
        """The reason why there is no best trial."""
        return describe_missing_best(sum(len(result.rows) for result in self.results))

    @property
    def best_config_file(self) -> Path | None:
        """The file with the config of the best trial's best epoch.

        It is the trial's own one, or `best_config.yaml` if the scheduler has changed values since;
        None if there is neither, because that file is written at the end of a run.
        """
        best = self.best
        config = None if best is None else best.config_text()
        if best is None or config is None:
            return None
        layout = SweepLayout(self.directory)
        for path in (best.directory / CONFIG_FILE, layout.best_config):
            if path.is_file() and path.read_bytes() == config.encode():
                return path
        return None

    def best_values(self) -> dict[str, Any] | None:
        """Returns the best trial's id, metric and epoch as plain values."""
        best = self.best
        if best is None or best.best is None:
            return None
        value, epoch = best.best[self.metric], best.best["epoch"]
        values = {"trial": best.record.id, "metric": self.metric, "value": value, "epoch": epoch}
        if (accuracy := accuracy_beside(best.best, self.metric)) is not None:
            values[ACCURACY] = accuracy
        if self.configurations:
            values["copies"] = self.configurations[0].to_dict()
        return values

    @cached_property
    def configurations(self) -> list[Configuration]:
        """The configurations, best first, if any has several trials; else none."""
        return repeated_configurations(self.results, self.metric)

    @cached_property
    def front(self) -> list[TrialResult]:
        """The Pareto front of a sweep with `tune.pareto`; else empty."""
        return pareto_front(self.results, self.metrics) if len(self.metrics) > 1 else []

    @cached_property
    def rungs(self) -> list[int]:
        """The epochs before the last one at which the scheduler compares trials."""
        section = self.search["tune"]["scheduler"]
        scheduler: Section = TypeAdapter(SchedulerConfig).validate_python(section)
        epochs = int(self.search["config"]["training"]["epochs"])
        if "training.epochs" in self.search["space"]:
            epochs = read_search(self.directory)[0].max_epochs
        return scheduler_rungs(scheduler, epochs, self.record.rungs)

    @property
    def best_label(self) -> str:
        """`best` if the sweep has finished, else `best so far`."""
        return "best" if self.state == "finished" else "best so far"

    @property
    def states(self) -> Counter[str]:
        """State -> number of trials."""
        return Counter(result.record.state for result in self.results)

    @property
    def ended(self) -> int:
        """Number of trials that have ended."""
        return sum(result.record.state in ENDED for result in self.results)

    @cached_property
    def sampled_keys(self) -> list[str]:
        """Every sampled key, in the order in which it first appears."""
        records = sorted((result.record for result in self.results), key=lambda r: r.number)
        return list(dict.fromkeys(key for record in records for key in record.values))

    def epochs(self, record: TrialRecord) -> int:
        """Returns the number of epochs a trial trains unless it ends early."""
        return record.epochs(int(self.search["config"]["training"]["epochs"]))

    def saved_epochs(self) -> int:
        """Returns the number of epochs that were saved by stopping trials, not by hand."""
        return sum(
            max(0, self.epochs(result.record) - _last_epoch(result))
            for result in self.results
            if result.record.state == "stopped" and result.record.stopped_by != BY_HAND
        )

    def find(self, name: str) -> TrialResult:
        """Returns the trial with this name (see `find_trial`)."""
        record = find_trial(self.directory, [result.record for result in self.results], name)
        return next(result for result in self.results if result.record is record)


def load(directory: Path) -> LoadedSweep:
    """Reads a whole sweep; what is damaged in its trials is in `damage`.

    Raises:
        SweepError: The directory holds no sweep.
        ConfigError: Its search file is broken.
    """
    sweep, records = _load_records(directory)
    return replace(sweep, results=_reader(sweep).read_all(records))


def load_trials(directory: Path, names: Sequence[str]) -> tuple[LoadedSweep, list[TrialResult]]:
    """Reads a sweep with only some of its trials; no metrics of the others are read.

    Args:
        directory: The sweep directory.
        names: Names of the trials (see `find_trial`).

    Returns:
        (sweep, trials): the sweep with only these trials, and the trials in the order of `names`.

    Raises:
        SweepError: The directory holds no sweep, or a name matches no trial or several.
        ConfigError: The search file is broken.
    """
    sweep, records = _load_records(directory)
    selected = [find_trial(directory, records, name, sweep.unreadable) for name in names]
    reader = _reader(sweep)
    results = [reader.read(record) for record in selected]
    return replace(sweep, results=results), results


def _load_records(directory: Path) -> tuple[LoadedSweep, list[TrialRecord]]:
    """Returns the sweep without results, and the records of its trials that can be read."""
    refresh(directory)
    spec, search = read_search(directory)
    layout = SweepLayout(directory)
    record = layout.read_sweep()
    records = []
    scanned, problems = layout.scan_trials()
    for trial in scanned:
        problem = describe_bad_values(layout, spec, trial)
        if problem is None:
            records.append(trial)
        else:
            problems.append(problem)
    state = current_state(directory, record)
    sweep = LoadedSweep(directory.absolute(), record, state, search, [], problems)
    return sweep, records


def _reader(sweep: LoadedSweep) -> ResultReader:
    return ResultReader(
        sweep.directory,
        sweep.metric,
        sweep.mode,
        sweep.search["config"],
        is_live=sweep.state == "running",
    )


def current_state(directory: Path, record: SweepRecord) -> str:
    """Returns a sweep's state; `interrupted` if it is recorded as running but no driver runs."""
    if record.state != "running":
        return record.state
    if not (directory / LOCK_FILE).exists():
        return "interrupted"
    try:
        return "running" if is_running(directory) else "interrupted"
    except SweepError:  # this file system does not support locks
        return record.state


def find_record(directory: Path, name: str) -> TrialRecord:
    """Returns the record of the trial with this name; no metrics are read.

    Raises:
        SweepError: The directory holds no sweep, or the name matches no trial or several.
    """
    refresh(directory)
    layout = SweepLayout(directory)
    layout.read_sweep()
    records, unreadable = layout.scan_trials()
    return find_trial(directory, records, name, unreadable)


def find_trial(
    directory: Path,
    records: Sequence[TrialRecord],
    name: str,
    unreadable: Sequence[str] = (),
) -> TrialRecord:
    """Returns the trial with this name.

    Args:
        directory: The sweep directory, for messages.
        records: The sweep's trials.
        name: The beginning of the trial's id, or its directory.
        unreadable: A sentence about each trial whose record cannot be read.

    Raises:
        SweepError: The name matches no trial or several.
    """
    base = Path(name).name
    matches = [r for r in records if base == r.directory or (name and r.id.startswith(name))]
    exact = [record for record in matches if name == record.id]
    if len(matches) == 1 or exact:
        return (exact or matches)[0]
    if not matches:
        ids = [record.id for record in records]
        hint = suggestion(name, ids) if ids or unreadable else "; it has no trials yet"
        text = f'{directory}: no trial has an id that begins with "{name}"{hint}'
        raise SweepError("\n".join([text, *unreadable]))
    ids = sorted(record.id for record in matches)
    more = f" and {len(ids) - MAX_IDS_SHOWN} more" if len(ids) > MAX_IDS_SHOWN else ""
    raise SweepError(
        f'{directory}: "{name}" matches {len(ids)} trial ids, type more of the one you mean: '
        f"{', '.join(ids[:MAX_IDS_SHOWN])}{more}"
    )


def best_checkpoint_epoch(result: TrialResult) -> int | None:
    """Returns the epoch of a trial's `best.pt`, the best by its `checkpoint.monitor`."""
    rows = result.rows
    if rows and monitor_of(rows[-1]) != ACCURACY:
        return rows[-1].get("best_epoch") or None
    row = inherited_row(rows, "val_acc", "max") or best_row(rows, "val_acc", "max")
    return None if row is None else int(row["epoch"])


def _last_epoch(result: TrialResult) -> int:
    return 0 if result.last is None else int(result.last["epoch"])
