"""Puts the data of a report together and writes it as JSON that HTML can contain."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweeps.report.class_data import SplitClasses
from sweeps.report.data.curves import curve_data, curve_metrics, schedule_data
from sweeps.report.data.trials import to_plain, trial_data
from sweeps.results.commands import read_commands
from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.space.parsing import is_logarithmic
from sweeps.terminal.commands import sweep_command
from sweeps.terminal.formatting import replace_non_finite
from trainable.config.dotted import flatten

DIRECTORY, ID, EPOCHS, FILE = "directory", "id", "epochs", "checkpoint"
"""Names of what the script puts into a command for a trial."""


def report_data(sweep: LoadedSweep, splits: list[SplitClasses]) -> dict[str, Any]:
    """Returns everything that the report's script draws.

    Args:
        sweep: The sweep.
        splits: The metrics of the best trial for each class.
    """
    keys, metrics = sweep.sampled_keys, curve_metrics(sweep)
    trials = [trial_data(sweep, result, keys) for result in sweep.results]
    index = {result.record.directory: n for n, result in enumerate(sweep.results)}
    for trial in trials:  # donors of PBT by their position in the list
        for step in trial.get("copied", ()):
            step[1] = index.get(step[1], step[1])
    base = flatten(sweep.search["config"], keep_mappings=True)
    data = {
        "name": sweep.record.name,
        "metric": sweep.metric,
        "mode": sweep.mode,
        "objectives": [{"name": name, "mode": mode} for name, mode in sweep.metrics.items()],
        "keys": [_key(key, sweep.search["space"].get(key), base) for key in keys],
        "base": {key: _base(base, key) for key in _changed_keys(trials)},
        "rungs": sweep.rungs,
        "metrics": metrics,
        "trials": trials,
        "curves": curve_data(sweep, metrics),
        "front": [index[result.record.directory] for result in sweep.front],
        "configurations": [
            {
                "label": item.label,
                "mean": item.mean,
                "sd": item.sd,
                "final": item.final,
                "trials": [
                    index[result.record.directory]
                    for result in item.results
                    if result.best is not None and result.record.final == item.final
                ],
            }
            for item in sweep.configurations
        ],
        "schedule": schedule_data(sweep),
        "matrices": _large_matrices(splits),
        "commands": command_templates(sweep),
    }
    return dict(replace_non_finite(data))


def _key(key: str, parameter: Any, base: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the script needs of a key of the space to draw an axis of it."""
    kinds = parameter if isinstance(parameter, Mapping) else {}
    options: Any = kinds.get("choice")
    return {
        "key": key,
        "log": is_logarithmic(parameter),
        "choices": [to_plain(option) for option in options] if _is_short(options) else None,
        "base": _base(base, key),
    }


def _is_short(options: Any) -> bool:
    """Returns whether these are the values of a choice that an axis can list one by one."""
    return isinstance(options, list) and not any(isinstance(option, dict) for option in options)


def _base(base: Mapping[str, Any], key: str) -> Any:
    """Returns the value of a key in the search file's training config; null if it has none."""
    return to_plain(base[key]) if key in base else None


def _changed_keys(trials: list[dict[str, Any]]) -> dict[str, None]:
    return {key: None for trial in trials for key in trial.get("changes", ())}


def _large_matrices(splits: list[SplitClasses]) -> list[dict[str, Any]]:
    """Returns the matrices that the script draws, in the order of their places on the page."""
    matrices = [split.matrix for split in splits]
    return [
        {"labels": matrix.names, "rows": matrix.counts}
        for matrix in matrices
        if matrix is not None and not matrix.has_numbers
    ]


def command_templates(sweep: LoadedSweep) -> dict[str, list[Any]]:
    """Returns verb -> [title, command]; a command is a list of texts and names in turn.

    A name stands for a word of a trial. Building the four commands of one trial takes 50 ms, as
    they read its config.
    """
    directory, mark = sweep.directory, "@"
    is_own = read_commands(directory).has_own_code
    while f"{mark}trial" in str(directory):
        mark += "@"
    words = {name: f"{mark}trial:{name}:" for name in (DIRECTORY, ID, EPOCHS, FILE)}
    file = directory / words[DIRECTORY] / "checkpoints" / words[FILE]
    weights: dict[str, tuple[str, list[str | Path]]] = {
        "eval": ("Score its weights on the test set", [file]),
        "restore": ("Train it further, alone", [file, "--epochs", words[EPOCHS]]),
        "export-model": ("Export its model", [file]),
    }
    commands = {
        verb: (title, sweep_command(verb, *others, allow_custom_model=is_own, absolute=True))
        for verb, (title, others) in weights.items()
    }
    for verb, title in {"show": "Show it in the terminal", "logs": "Print its whole log"}.items():
        commands[verb] = (title, sweep_command(verb, directory, words[ID], absolute=True))
    pattern = re.compile(f"{mark}trial:({'|'.join(words)}):")
    return {verb: [title, pattern.split(command)] for verb, (title, command) in commands.items()}


def to_island(data: Mapping[str, Any]) -> str:
    """Returns data as JSON that cannot end the `script` element around it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
