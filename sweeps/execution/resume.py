"""Opens a sweep's directory to go on with it, and says what may have changed since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from sweeps.results.stored_spec import open_sweep
from sweeps.results.trial_results import TrialResult, read_results
from sweeps.spec.load import load_search, parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.storage.lock import sole_owner
from sweeps.sweep_dir.layout import ENDED, Cause, SweepError, SweepLayout, TrialRecord, value_at
from trainable.config import parse_config
from trainable.config.names import check_name
from trainable.config.override import override
from trainable.config.yaml_reader import read_yaml

IN_CONFIG = ("progress", "dataset.root", "dataset.download", "dataset.num_workers")
"""Keys and sections of the training config that change nothing of what trials compute."""

MAY_CHANGE = (
    "tune.num_samples",
    "tune.time_budget",
    "tune.target",
    "tune.max_concurrent_trials",
    "resources.",
    "failure.",
    "keep.",
    "hooks.",
    "name",
    "config.checkpoint.dir",
    *(f"config.{key}" for key in IN_CONFIG),
)
"""Keys of a search file, or beginnings of keys, that change nothing of what trials compute."""


@contextmanager
def opened(directory: Path) -> Iterator[tuple[SearchSpec, list[TrialRecord]]]:
    """A sweep's search file and trials, the directory held until the caller has done with them.

    Raises:
        SweepError: The directory holds no sweep or one that kept no checkpoints, or another
            process is running it.
        ConfigError: Its search file is broken.
    """
    SweepLayout(directory).read_sweep()  # where there is no sweep, not even a lock file is made
    with sole_owner(directory):
        spec, records = open_sweep(directory)
        if not parse_config(spec.config).checkpoint.enabled:
            raise SweepError(
                f"{directory} ran with checkpoint.enabled: false: it keeps its tables only, "
                "there is nothing to go on from"
            )
        yield spec, records


def reopen_best(
    spec: SearchSpec, directory: Path, records: list[TrialRecord], *, top: int, epochs: int
) -> SearchSpec:
    """Gives the best trials of a finished sweep more epochs; failed ones are `retry`'s.

    Args:
        spec: The sweep's.
        directory: Its directory.
        records: Its trials; those chosen are marked to go on.
        top: How many.
        epochs: Their new total.

    Returns:
        The spec of this run: no new trials, and no scheduler that would end the chosen ones.

    Raises:
        SweepError: The sweep has not finished, no trial is good, or a chosen one has as many
            epochs already or no checkpoint any more.
        ConfigError: A chosen trial cannot train that many epochs.
    """
    layout = SweepLayout(directory)
    all_made = len(records) >= spec.trials or layout.read_sweep().state == "finished"
    if not all_made or any(record.state not in ENDED for record in records):
        raise SweepError(
            f"{directory} has not finished; finish it first: sweep resume {directory}"
        )
    ranked = read_results(directory, spec.tune.metric, spec.tune.mode)
    good = [r for r in ranked if r.best is not None and r.record.state != "failed"]
    if not good:
        raise SweepError(f"{directory}: no trial has come to a result that it could go on from")
    chosen = {result.record.id for result in good[:top]}
    for result in good[:top]:
        _check_can_go_on(spec, result, epochs)
    run = _without_new_trials(spec, records)
    for record in records:
        if record.id in chosen:
            record.changes["training.epochs"] = epochs
            record.state, record.ended = "paused", None
            layout.write_trial(record)
    return run


def _without_new_trials(spec: SearchSpec, records: list[TrialRecord]) -> SearchSpec:
    """The search file of the trials that there are, whatever was to decide on more of them."""
    data, tune = spec.to_dict(), spec.tune
    searched = sum(not record.final for record in records)
    data["tune"] |= {
        "num_samples": max(1, searched // tune.repeats),
        "scheduler": {"name": "fifo"},
        "final": None,
        "target": None,
    }
    if tune.search_alg.name == "bohb":  # it works with its own scheduler only
        data["tune"]["search_alg"] = {"name": "tpe"}
    return parse_search(data, "the sweep's search file, for trials that go on")


def _check_can_go_on(spec: SearchSpec, result: TrialResult, epochs: int) -> None:
    record = result.record
    done = result.rows[-1]["epoch"]
    if done >= epochs:
        raise SweepError(
            f"--epochs is the new total: trial {record.id} has already completed {done}, "
            f"found {epochs}"
        )
    if result.checkpoint is None:
        raise SweepError(
            f"trial {record.id} has no checkpoint any more (keep.trials: {spec.keep.trials}); "
            "to train its config anew, run python -m trainable on "
            f"{result.directory / 'config.yaml'}"
        )
    values = {**record.current, **record.changes, "training.epochs": epochs}
    spec.trial_config(values, record.number, record.repeat)


def reopen_failed(
    directory: Path, records: list[TrialRecord], cause: str | None
) -> list[TrialRecord]:
    """Marks failed trials to be tried again; returns them.

    Args:
        directory: The sweep's.
        records: Its trials.
        cause: Only those whose last failure was of this; None means all.

    Raises:
        SweepError: There is no such cause.
    """
    if cause is not None:
        try:
            check_name(cause, get_args(Cause))
        except ValueError as error:
            raise SweepError(f"--cause: {error}") from None
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


def merged(
    recorded: SearchSpec,
    search_file: Path,
    directory: Path,
    assignments: Mapping[str, Any] | None = None,
) -> SearchSpec:
    """The recorded search file with what an edited one may change.

    Args:
        recorded: Of the sweep that goes on.
        search_file: The edited file.
        directory: The sweep's, for the message.
        assignments: What the command line sets in the edited file.

    Raises:
        ConfigError: The edited file is broken.
        SweepError: It changes what trials compute; shows each difference.
    """
    edited = load_search(search_file, assignments)
    raw = read_yaml(search_file).data
    old, new = _complete(recorded), _complete(edited)
    if (raw.get("tune") or {}).get("seed") is None and "tune.seed" not in (assignments or {}):
        new["tune"]["seed"] = old["tune"]["seed"]  # drawn anew by reading the file
    lines = _refused(_flat(old), _flat(new))
    if lines:
        raise SweepError(
            f"{search_file} changes what the trials of {directory} compute:\n"
            + "\n".join(lines)
            + "\n  start it as a new sweep under another name; with tune.warm_start: "
            f"{directory} it begins from what this one has learnt"
        )
    kept = recorded.to_dict()
    for section in ("resources", "failure", "keep", "hooks"):
        kept[section] = new[section]
    if kept["resources"]["gpu"] == "auto":  # what it has come to stays
        kept["resources"]["gpu"] = old["resources"]["gpu"]
    for key in ("num_samples", "time_budget", "target", "max_concurrent_trials"):
        kept["tune"][key] = new["tune"][key]
    pairs = {key: (_value(old["config"], key), _value(new["config"], key)) for key in IN_CONFIG}
    changes = {key: after for key, (before, after) in pairs.items() if before != after}
    kept["config"] = override(kept["config"], changes)
    return parse_search(kept, str(search_file))


_ABSENT = "(absent)"


def _complete(spec: SearchSpec) -> dict[str, Any]:
    """The search file, its training config with all defaults, so that these may be left out."""
    return {**spec.to_dict(), "config": parse_config(spec.config).to_dict()}


def _refused(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """A line for each key that differs and must not."""
    return [
        f"  {key}: {old.get(key, _ABSENT)} -> {new.get(key, _ABSENT)}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key, _ABSENT) != new.get(key, _ABSENT) and not key.startswith(MAY_CHANGE)
    ]


def _value(config: dict[str, Any], key: str) -> Any:
    try:
        return value_at(config, key)
    except KeyError:  # not every data set has it
        return _ABSENT


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; a distribution of the space stays one value."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping) and prefix != "space.":
            found.update(_flat(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value
    return found
