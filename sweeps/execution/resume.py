"""Opens a sweep directory to resume it and checks what may have changed since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from sweeps.results.commands import read_commands, trial_commands
from sweeps.results.loaded_sweep import find_trial
from sweeps.results.stored_spec import open_sweep
from sweeps.results.trial_results import TrialResult, read_results
from sweeps.spec.changes import CHANGEABLE_KEYS, RUNTIME_KEYS
from sweeps.spec.load import load_search, parse_search
from sweeps.spec.origin import Origin
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.settings import count_begun
from sweeps.steering.offline import complete_additions, complete_settings
from sweeps.steering.state import SteeringState
from sweeps.storage.lock import sweep_lock
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.event_log import EventLog
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import ENDED, Cause, TrialRecord
from sweeps.terminal.console import print_line
from trainable.artifacts.names import CHECKPOINTS, CONFIG_FILE
from trainable.config.dotted import flatten, get_dotted
from trainable.config.names import check_name
from trainable.config.override import override
from trainable.config.yaml_reader import read_yaml
from trainable.errors import ConfigError

CLASS_KEYS = ("dataset.name", "dataset.args", "dataset.num_classes")
"""Keys, or beginnings of keys, with which trials can have different classes."""


@contextmanager
def open_for_resume(directory: Path) -> Iterator[tuple[SearchSpec, list[TrialRecord]]]:
    """Locks a sweep directory and yields its search file and trials.

    A request to pause that the previous driver did not handle is deleted at once: a later one,
    which may come while Ray is starting, is for this driver. What the previous driver had accepted
    is in the search file and the records afterwards.

    Raises:
        SweepError: The directory has no sweep or only the tables of one, or another process is
            running it.
        ConfigError: The search file is broken.
    """
    recorded = SweepLayout(directory).read_sweep()  # without a sweep, no lock file is created
    with sweep_lock(directory):
        SweepLayout(directory).stop_file.unlink(missing_ok=True)
        complete_settings(directory)
        spec, records = open_sweep(directory)
        if recorded.trials and not records:
            raise SweepError(
                f"{directory} has the tables of its trials only, as earlier versions left them "
                "with checkpoint.enabled: false: there is nothing to resume from"
            )
        events = EventLog(SweepLayout(directory).events_file).read_requests()
        complete_additions(SweepLayout(directory), SteeringState.of(events), records)
        yield spec, records


def reopen_best(
    spec: SearchSpec,
    directory: Path,
    records: list[TrialRecord],
    *,
    epochs: int,
    top: int | None = None,
    trials: Sequence[str] = (),
) -> SearchSpec:
    """Gives trials of a finished sweep more epochs; failed ones are left to `retry`.

    Nothing is written; `resume_sweep` does that when it has checked that the sweep can run.

    Args:
        spec: The sweep's search file.
        directory: The sweep directory.
        records: The sweep's trials; those that are extended are marked as paused.
        epochs: Their new total of epochs.
        top: Number of the best trials to extend; None for those of `trials`.
        trials: Names of the trials to extend (see `find_trial`); empty for the best.

    Returns:
        The spec of this run, without new trials and without a scheduler that could stop any.

    Raises:
        SweepError: `top` is below 1, the sweep has not finished, no trial has a result, a named
            trial does not exist or has failed, or one has as many epochs already or has no
            checkpoint left.
        ConfigError: One of the trials cannot train that many epochs.
    """
    if top is not None and top < 1:
        raise SweepError(f"top: must be >= 1, found {top}")
    layout = SweepLayout(directory)
    sweep = layout.read_sweep()
    total = spec.count_trials(sweep.added, records)
    is_complete = len(records) >= total or sweep.state == "finished"
    if not is_complete or any(record.state not in ENDED for record in records):
        command = read_commands(directory).run_again("resume")
        raise SweepError(f"{directory} has not finished; finish it first: {command}")
    ranked = read_results(directory, spec.tune.metric, spec.tune.mode, spec.config)
    chosen = _find_named(directory, ranked, trials) if trials else _find_best(directory, ranked)
    chosen = chosen[:top]
    done = {result.record.id: result.rows[-1]["epoch"] for result in chosen}
    for result in chosen:
        _check_can_extend(spec, result, epochs)
    run_spec = _exclude_new_trials(spec, records)
    for record in records:
        if record.id in done:
            if record.stopped_by is not None:
                print_line(
                    f"trial {record.id} was ended by training.{record.stopped_by}, which counts "
                    f"anew from epoch {done[record.id] + 1}"
                )
            record.changes["training.epochs"] = epochs
            record.state, record.ended = "paused", None
            record.note_stop({})
    return run_spec


def _find_best(directory: Path, ranked: list[TrialResult]) -> list[TrialResult]:
    """Returns the trials that can be extended, the best first."""
    good = [r for r in ranked if r.best is not None and r.record.state != "failed"]
    if not good:
        raise SweepError(f"{directory}: no trial has a result that it could go on from")
    unknown = [str(result.damage) for result in ranked if result.unknown]
    if unknown:
        raise SweepError("\n".join([f"{directory}: the best trials are unknown", *unknown]))
    return good


def _find_named(
    directory: Path, results: list[TrialResult], names: Sequence[str]
) -> list[TrialResult]:
    """Returns the trials with these names, each once."""
    by_id = {result.record.id: result for result in results}
    records = [result.record for result in results]
    ids = dict.fromkeys(find_trial(directory, records, name).id for name in names)
    for result in (by_id[id_] for id_ in ids):
        trial = f"trial {result.record.id}"
        if result.record.state == "failed":
            command = read_commands(directory).run_again("retry")
            raise SweepError(f"{trial} has failed; retry it first: {command}")
        if result.unknown:
            raise SweepError(f"{trial} cannot be extended: {result.damage}")
        if not result.rows:
            raise SweepError(f"{trial} has no result that it could go on from")
    return [by_id[id_] for id_ in ids]


def _exclude_new_trials(spec: SearchSpec, records: list[TrialRecord]) -> SearchSpec:
    """Returns the search file for the existing trials, without settings that would add some."""
    data, tune = spec.to_dict(), spec.tune
    data["tune"] |= {
        "num_samples": max(1, count_begun(records) // tune.repeats),
        "scheduler": {"name": "fifo"},
        "final": None,
        "target": None,
    }
    if tune.search_alg.name == "bohb":  # BOHB needs its own scheduler
        data["tune"]["search_alg"] = {"name": "tpe"}
    text = "the sweep's search file, for trials that are extended"
    return _parse_changed(data, spec.origin, text)


def _check_can_extend(spec: SearchSpec, result: TrialResult, epochs: int) -> None:
    record = result.record
    done = result.rows[-1]["epoch"]
    if done >= epochs:
        raise SweepError(
            f"--epochs is the new total: trial {record.id} has already completed {done}, "
            f"found {epochs}; give more than {done}"
        )
    if result.checkpoint is None:
        saves = spec.training.checkpoint.enabled
        reason = f"keep.trials: {spec.keep.trials}" if saves else "checkpoint.enabled: false"
        raise SweepError(
            f"trial {record.id} has no checkpoint ({reason}); "
            f"to train its config anew: {trial_commands(result)['train']}"
        )
    record.config(spec, {"training.epochs": epochs})  # raises an error if they do not fit


def reopen_failed(records: list[TrialRecord], cause: str | None) -> list[TrialRecord]:
    """Marks failed trials to be retried and returns them; `resume_sweep` writes them.

    Args:
        records: The sweep's trials.
        cause: Cause of the last failure of the trials to retry; None means any.

    Raises:
        SweepError: `cause` is unknown.
    """
    if cause is not None:
        try:
            check_name(cause, get_args(Cause))
        except ValueError as error:
            raise SweepError(f"--cause: {error}") from None
    failed = [
        record
        for record in records
        if record.state == "failed"
        and (cause is None or cause in {failure.cause for failure in record.failures[-1:]})
    ]
    for record in failed:
        record.reopen(len(record.failures))
    return failed


def drop_origin(spec: SearchSpec, directory: Path, records: list[TrialRecord]) -> SearchSpec:
    """Returns the search file without `checkpoint.resume` if no trial starts from that any more.

    A trial that has saved a checkpoint is restored from its own. The other file may have been
    moved or trained further since.

    Args:
        spec: The sweep's search file.
        directory: The sweep directory.
        records: The sweep's trials.
    """
    added = SweepLayout(directory).read_sweep().added
    total = spec.count_trials(added, records)
    if spec.training.checkpoint.resume is None or len(records) < total:
        return spec
    unended = [directory / record.directory for record in records if record.state not in ENDED]
    if not all(any((trial / CHECKPOINTS).glob("*.pt")) for trial in unended):
        return spec
    config = override(spec.config, {"checkpoint.resume": None})
    return _parse_changed({**spec.to_dict(), "config": config}, spec.origin, "search")


def with_recorded_classes(
    spec: SearchSpec, directory: Path, records: list[TrialRecord]
) -> SearchSpec:
    """Returns the search file with the names of the classes that the trials were trained with.

    The checks before a resume then refuse data whose classes have changed. A search whose trials
    have different data is left as it is.

    Args:
        spec: The sweep's search file.
        directory: The sweep directory.
        records: The sweep's trials.
    """
    dataset = spec.training.dataset
    if dataset.classes is not None or any(key.startswith(CLASS_KEYS) for key in spec.space):
        return spec
    for record in records:
        path = directory / record.directory / CONFIG_FILE
        try:
            recorded = read_yaml(path).data.get("dataset") if path.exists() else None
        except ConfigError:
            continue  # damaged, which the status reports
        if isinstance(recorded, dict) and recorded.get("name") == dataset.name:
            classes = recorded.get("classes")
            if classes:
                config = override(spec.config, {"dataset.classes": classes})
                return _parse_changed({**spec.to_dict(), "config": config}, spec.origin, "search")
    return spec


def change_settings(
    spec: SearchSpec, tune: Mapping[str, Any], resources: Mapping[str, Any]
) -> SearchSpec:
    """Replaces keys of `tune` and `resources` in a search file; None leaves a value as it is.

    Raises:
        ConfigError: A value breaks its rule.
    """
    data = spec.to_dict()
    for section, values in (("tune", tune), ("resources", resources)):
        changes = {key: value for key, value in values.items() if value is not None}
        data[section] = {**data[section], **changes}
    return _parse_changed(data, spec.origin, "the command line")


def merge_edited(
    recorded: SearchSpec,
    search_file: Path,
    directory: Path,
    assignments: Mapping[str, Any] | None = None,
) -> SearchSpec:
    """Applies the changes of an edited search file to the recorded one, if they are allowed.

    Args:
        recorded: The search file of the sweep that is resumed.
        search_file: The edited file.
        directory: The sweep directory, for the message.
        assignments: Values that the command line sets in the edited file.

    Raises:
        ConfigError: The edited file is broken.
        SweepError: It changes what trials compute; the message shows each difference.
    """
    edited = load_search(search_file, assignments)
    raw = read_yaml(search_file).data
    old, new = _fill_defaults(recorded), _fill_defaults(edited)
    if (raw.get("tune") or {}).get("seed") is None and "tune.seed" not in (assignments or {}):
        new["tune"]["seed"] = old["tune"]["seed"]  # sampled again by reading the file
    lines = _list_refused(_flatten_search(old), _flatten_search(new))
    if lines:
        raise SweepError(
            f"{search_file} changes what the trials of {directory} compute:\n"
            + "\n".join(lines)
            + "\n  start it as a new sweep under another name; with tune.warm_start: "
            f"{directory} it starts with the results of this one"
        )
    merged = recorded.to_dict()
    for section in ("resources", "failure", "keep", "hooks", "log_to"):
        merged[section] = new[section]
    if merged["resources"]["gpu"] == "auto":  # the resolved number stays
        merged["resources"]["gpu"] = old["resources"]["gpu"]
    for key in ("num_samples", "time_budget", "target", "max_concurrent_trials"):
        merged["tune"][key] = new["tune"][key]
    pairs = {
        key: (_read_value(old["config"], key), _read_value(new["config"], key))
        for key in RUNTIME_KEYS
    }
    changes = {key: after for key, (before, after) in pairs.items() if before != after}
    merged["config"] = override(merged["config"], changes)
    return _parse_changed(merged, edited.origin, str(search_file))


def _parse_changed(data: Mapping[str, Any], origin: Origin, source: str) -> SearchSpec:
    """Parses a recorded search file with changes; problems are reported by the origin's lines."""
    return parse_search(data, source, is_recorded=True).with_origin(origin)


_ABSENT = "(absent)"


def _fill_defaults(spec: SearchSpec) -> dict[str, Any]:
    """Returns the search file with all defaults of its training config, which may be omitted."""
    return {**spec.to_dict(), "config": spec.training.to_dict()}


def _list_refused(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Returns a line for each key that differs and must not."""
    return [
        f"  {key}: {old.get(key, _ABSENT)} -> {new.get(key, _ABSENT)}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key, _ABSENT) != new.get(key, _ABSENT) and not key.startswith(CHANGEABLE_KEYS)
    ]


def _read_value(config: dict[str, Any], key: str) -> Any:
    try:
        return get_dotted(config, key)
    except KeyError:  # some data sets do not have it
        return _ABSENT


def _flatten_search(data: Mapping[str, Any]) -> dict[str, Any]:
    """A search file by dotted key; a parameter of the space stays one value."""
    sections = flatten({key: value for key, value in data.items() if key != "space"})
    space = {f"space.{key}": value for key, value in data["space"].items()}
    return {key: value for key, value in {**sections, **space}.items() if value != {}}
