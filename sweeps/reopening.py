"""Opens a sweep's directory to go on with it, and says what may have changed since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sweeps.layout import ENDED, SweepError, SweepLayout, TrialRecord
from sweeps.ownership import sole_owner
from sweeps.results import read_results
from sweeps.spec import SearchSpec, load_search, parse_search
from trainable.config import override
from trainable.yaml_reader import read_yaml

MAY_CHANGE = (
    "tune.num_samples",
    "tune.time_budget",
    "tune.max_concurrent_trials",
    "resources.",
    "failure.",
    "keep.",
    "name",
    "config.progress.",
    "config.dataset.root",
    "config.dataset.download",
    "config.dataset.num_workers",
    "config.checkpoint.dir",
)
"""Keys of a search file, or beginnings of keys, that change nothing of what trials compute."""


@contextmanager
def opened(directory: Path) -> Iterator[tuple[SearchSpec, list[TrialRecord]]]:
    """A sweep's search file and trials, the directory held until the caller has done with them.

    Raises:
        SweepError: The directory holds no sweep, or another process is running it.
        ConfigError: Its search file is broken.
    """
    SweepLayout(directory).read_sweep()  # where there is no sweep, not even a lock file is made
    with sole_owner(directory):
        yield open_sweep(directory)


def open_sweep(directory: Path) -> tuple[SearchSpec, list[TrialRecord]]:
    """Reads a sweep's search file and trials, wherever its directory lies by now.

    Raises:
        SweepError: The directory holds no sweep.
        ConfigError: Its search file is broken.
    """
    directory = directory.absolute()
    layout = SweepLayout(directory)
    layout.read_sweep()
    document = read_yaml(layout.search_file)
    config = override(document.data["config"], {"checkpoint.dir": str(directory.parent)})
    spec = parse_search({**document.data, "config": config}, str(layout.search_file))
    return spec, layout.read_trials()


def reopen_best(
    spec: SearchSpec, directory: Path, records: list[TrialRecord], *, top: int, epochs: int
) -> SearchSpec:
    """Gives the best trials of a finished sweep more epochs.

    Args:
        spec: The sweep's.
        directory: Its directory.
        records: Its trials; those chosen are marked to go on.
        top: How many.
        epochs: Their new total.

    Returns:
        The spec of this run: no new trials, and no scheduler that would end the chosen ones.

    Raises:
        SweepError: The sweep has not finished, or a chosen trial has as many epochs already.
    """
    if any(record.state not in ENDED for record in records):
        raise SweepError(
            f"{directory} has not finished; finish it first: sweep resume {directory}"
        )
    ranked = read_results(directory, spec.tune.metric, spec.tune.mode)
    chosen = {result.record.id for result in ranked[:top] if result.best is not None}
    for result in ranked:
        if result.record.id in chosen and result.last and result.last["epoch"] >= epochs:
            raise SweepError(
                f"--epochs is the new total: trial {result.record.id} has already completed "
                f"{result.last['epoch']}, found {epochs}"
            )
    for record in records:
        if record.id in chosen:
            record.changes["training.epochs"] = epochs
            record.state, record.ended = "paused", None
            SweepLayout(directory).write_trial(record)
    data = spec.to_dict()
    data["tune"] = {**data["tune"], "num_samples": len(records), "scheduler": {"name": "fifo"}}
    return parse_search(data, str(directory))


def reopen_failed(
    directory: Path, records: list[TrialRecord], cause: str | None
) -> list[TrialRecord]:
    """Marks failed trials to be tried again; returns them.

    Args:
        directory: The sweep's.
        records: Its trials.
        cause: Only those whose last failure was of this; None means all.
    """
    chosen = [
        record
        for record in records
        if record.state == "failed" and cause in {None, record.failures[-1].cause}
    ]
    for record in chosen:
        record.state, record.ended = "paused", None
        record.forgiven = len(record.failures)
        SweepLayout(directory).write_trial(record)
    return chosen


def changed(spec: SearchSpec, tune: Mapping[str, Any], resources: Mapping[str, Any]) -> SearchSpec:
    """The search file with keys of `tune` and `resources` replaced where a value is given.

    Raises:
        ConfigError: A value breaks its rule.
    """
    data = spec.to_dict()
    for section, values in (("tune", tune), ("resources", resources)):
        given = {key: value for key, value in values.items() if value is not None}
        data[section] = {**data[section], **given}
    return parse_search(data, "the command line")


def merged(recorded: SearchSpec, search_file: Path, directory: Path) -> SearchSpec:
    """The recorded search file with what an edited one may change.

    Args:
        recorded: Of the sweep that goes on.
        search_file: The edited file.
        directory: The sweep's, for the message.

    Raises:
        ConfigError: The edited file is broken.
        SweepError: It changes what trials compute; shows each difference.
    """
    edited = load_search(search_file)
    raw = read_yaml(search_file).data
    old, new = _flat(recorded.to_dict()), _flat(edited.to_dict())
    if (raw.get("tune") or {}).get("seed") is None:
        new["tune.seed"] = old["tune.seed"]  # drawn anew by reading the file
    differing = [
        key
        for key in dict.fromkeys([*old, *new])
        if old.get(key, _ABSENT) != new.get(key, _ABSENT)
    ]
    refused = [key for key in differing if not key.startswith(MAY_CHANGE)]
    if refused:
        lines = [f"  {k}: {old.get(k, _ABSENT)} -> {new.get(k, _ABSENT)}" for k in refused]
        raise SweepError(
            f"{search_file} changes what the trials of {directory} compute:\n"
            + "\n".join(lines)
            + "\n  start it as a new sweep under another name; with tune.warm_start: "
            f"{directory} it begins from what this one has learnt"
        )
    kept = recorded.to_dict()
    wanted = edited.to_dict()
    for section in ("resources", "failure", "keep"):
        kept[section] = wanted[section]
    for key in ("num_samples", "time_budget", "max_concurrent_trials"):
        kept["tune"][key] = wanted["tune"][key]
    return parse_search(kept, str(search_file))


_ABSENT = "(absent)"


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; a distribution of the space stays one value."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping) and prefix != "space.":
            found.update(_flat(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value
    return found
