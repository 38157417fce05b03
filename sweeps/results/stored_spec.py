"""Reads the search file and the trial records that a sweep directory holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweeps.results.commands import read_commands
from sweeps.spec.load import parse_search
from sweeps.spec.search_algorithms import replace_removed_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.settings import drop_url_hooks
from sweeps.storage.location import checkpoint_dir_of
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import REMEDY as TRIAL_REMEDY
from sweeps.sweep_dir.layout import TRIAL_FILE, SweepLayout
from sweeps.sweep_dir.records import TrialRecord
from sweeps.terminal.commands import quote_word
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


def refuse_other_directory(spec: SearchSpec, directory: Path, recorded: str | None) -> None:
    """Refuses a working directory in which an argument of own code is another file.

    Which texts such code takes for paths is not known. A text counts as a path if it names a file
    or directory where the sweep was started.

    Args:
        spec: The sweep's search file.
        directory: The sweep directory.
        recorded: Where the sweep was started; None if that is not known.

    Raises:
        SweepError: An argument is relative to the directory of the start and names another file
            here, or none.
    """
    if recorded is None or Path(recorded) == Path.cwd():
        return
    data = spec.to_dict()
    for key, text in _list_texts({"config": data["config"], "space": data["space"]}):
        there, here = Path(recorded, text), Path(text)
        if ".args." not in f"{key}." or not text or here.is_absolute() or not _exists(there):
            continue
        if not (_exists(here) and there.samefile(here)):
            command = read_commands(directory).run_again("resume", absolute=True)
            raise SweepError(
                f"{key}: {text} is relative to {recorded}, where the sweep was started; resume "
                f"it there: cd {quote_word(Path(recorded), absolute=True)} && {command}"
            )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a path, or with a null character
        return False


def _list_texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yields the dotted key and the value of each text in plain values."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _list_texts(inner, f"{key}.{name}".removeprefix("."))
    elif isinstance(value, list):
        for inner in value:
            yield from _list_texts(inner, key)
    elif isinstance(value, str):
        yield key, value
