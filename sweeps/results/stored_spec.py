"""Reads the search file and the trial records that a sweep directory holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweeps.spec.load import parse_search
from sweeps.spec.search_algorithms import replace_removed_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.settings import drop_url_hooks
from sweeps.storage.location import checkpoint_dir_of
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import REMEDY as TRIAL_REMEDY
from sweeps.sweep_dir.layout import TRIAL_FILE, SweepLayout
from sweeps.sweep_dir.records import TrialRecord
from trainable.config.override import override
from trainable.config.yaml_reader import Document, read_yaml
from trainable.errors import ConfigError

REMEDY = (
    "restore the file from a copy; the trials' checkpoints can be used without it (`sweep eval`, "
    "`sweep restore`)"
)


def open_sweep(directory: Path) -> tuple[SearchSpec, list[TrialRecord]]:
    """Reads a sweep's search file and trials, also if its directory has been moved.

    Raises:
        SweepError: The directory holds no sweep, or a trial's record cannot be read.
        ConfigError: The search file is broken.
    """
    spec, _ = read_search(directory)
    layout = SweepLayout(directory.absolute())
    records = layout.read_trials()
    problems = [describe_bad_values(layout, spec, record) for record in records]
    if any(problems):
        raise SweepError("\n".join(filter(None, problems)))
    return spec, records


def describe_bad_values(layout: SweepLayout, spec: SearchSpec, record: TrialRecord) -> str | None:
    """Returns a sentence, with the remedy, if a trial's values make no config; else None."""
    try:
        record.config(spec)
    except ConfigError as error:
        path, problem = layout.directory / record.directory / TRIAL_FILE, error.problems[0]
        return f"{path}: values: {problem.key}: {problem.rule}; {TRIAL_REMEDY}"
    return None


def read_search(directory: Path) -> tuple[SearchSpec, dict[str, Any]]:
    """Reads a sweep's search file, also if its directory has been moved.

    Returns:
        (spec, values): the checked search file, and its plain values with all defaults.

    Raises:
        SweepError: The directory holds no sweep.
        ConfigError: The search file is broken.
    """
    directory = directory.absolute()
    layout = SweepLayout(directory)
    layout.read_sweep()
    try:
        document = read_yaml(layout.search_file)
        spec = parse_search(_adapt(document, directory), directory=directory, is_recorded=True)
    except ConfigError as error:
        *others, last = error.problems
        last = replace(last, rule=f"{last.rule}; {REMEDY}")
        raise ConfigError(error.source, [*others, last]) from None
    values = {**spec.to_dict(), "config": spec.training.to_dict()}
    search_alg = document.data["tune"].get("search_alg")
    if search_alg is not None:  # of an earlier version it may be a removed one
        values["tune"]["search_alg"] = search_alg
    return spec, values


def _adapt(document: Document, directory: Path) -> Document:
    """Returns the document for the sweep's present place, without what versions have dropped."""
    if not isinstance(document.data, Mapping):
        return document
    data = dict(document.data)
    if isinstance(data.get("config"), Mapping):
        data["config"] = override(data["config"], {"checkpoint.dir": checkpoint_dir_of(directory)})
    if "hooks" in data:
        data["hooks"] = drop_url_hooks(data["hooks"])
    if "tune" in data:
        data["tune"] = replace_removed_search(data["tune"])
    return Document(data, document.lines, document.source)
