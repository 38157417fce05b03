"""The differences between trials: their configs, and their curves side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.results.trial_results import TrialResult
from trainable.artifacts.names import CONFIG_FILE
from trainable.config import parse_config
from trainable.config.override import override
from trainable.config.yaml_reader import parse_yaml

LOCATION_KEYS = {
    "checkpoint.dir",
    "checkpoint.experiment_name",
    "tensorboard.log_dir",
    "dataset.file",
    "dataset.root",
}
"""Config keys that only say where files are; they are left out."""


def config_differences(
    results: Sequence[TrialResult], base: Mapping[str, Any]
) -> dict[str, list[Any]]:
    """Returns dotted key -> the value of each trial, for config keys whose values differ.

    Args:
        results: The trials.
        base: See `flat_config`.
    """
    configs = [flat_config(result, base) for result in results]
    keys = dict.fromkeys(key for config in configs for key in config)
    values = {key: [config.get(key) for config in configs] for key in keys}
    return {
        key: column
        for key, column in values.items()
        if key not in LOCATION_KEYS and any(value != column[0] for value in column[1:])
    }


def flat_config(result: TrialResult, base: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a trial's config by dotted key.

    Args:
        result: The trial.
        base: The training config that all trials of the sweep start from, as plain values. It
            stands for the config of a trial that has not started or whose file is damaged.
    """
    text = result.config_text()
    if text is not None:
        config = parse_config(parse_yaml(text, CONFIG_FILE), CONFIG_FILE)
        return flatten_sections(config.to_dict())
    return flatten_sections(override(base, {**result.values, **result.record.changes}))


def flatten_sections(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of a training config by `section.key`; lists by their section."""
    flat: dict[str, Any] = {}
    for name, part in config.items():
        if isinstance(part, Mapping):
            flat |= {f"{name}.{key}": value for key, value in part.items()}
        else:
            flat[name] = part
    return flat


def join_curves(results: Sequence[TrialResult], metric: str) -> list[list[Any]]:
    """Returns `[epoch, the metric of each trial]` for every epoch of any of the trials."""
    curves = [{row["epoch"]: row.get(metric) for row in result.rows} for result in results]
    epochs = sorted({epoch for curve in curves for epoch in curve})
    return [[epoch, *(curve.get(epoch) for curve in curves)] for epoch in epochs]
