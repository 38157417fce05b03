"""Which keys of a search file may change after the start of its sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sweeps.spec.load import parse_search
from sweeps.spec.log_to import find_tracker_problems
from sweeps.spec.overrides import set_search_keys
from sweeps.spec.search_spec import SearchSpec
from trainable.config.dotted import flatten
from trainable.config.names import suggestion
from trainable.config.yaml_reader import Document
from trainable.errors import ConfigError, Problem

RUNTIME_KEYS = (
    "progress",
    "dataset.file",
    "dataset.root",
    "dataset.download",
    "dataset.num_workers",
    "dataset.classes",
)
"""Keys and sections of the training config that do not affect what trials compute."""

LIVE_KEYS = (
    "tune.num_samples",
    "tune.time_budget",
    "tune.target",
    "tune.max_concurrent_trials",
    "failure.",
    "keep.",
    "hooks.",
    "log_to.",
)
"""Keys, or prefixes of keys, that take effect while the sweep runs."""

CHANGEABLE_KEYS = (
    *LIVE_KEYS,
    "resources.",
    "name",
    "config.checkpoint.dir",
    *(f"config.{key}" for key in RUNTIME_KEYS),
)
"""Keys, or prefixes of keys, that do not affect what trials compute; a resume may change them."""

FIXED_SIZE = ("hyperband", "pbt", "pb2")
"""Schedulers that divide all trials into groups at the start."""


def change_live(spec: SearchSpec, values: Mapping[str, Any], source: str) -> SearchSpec:
    """Returns the search file of a running sweep with other settings.

    Args:
        spec: The current search file.
        values: Dotted key -> new value, as in a search file.
        source: The name of the values in messages.

    Raises:
        ConfigError: A key cannot change while the sweep runs, or a value breaks its rule; all
            problems are listed.
    """
    problems = [
        Problem(key, rule) for key in values if (rule := _find_obstacle(spec, key)) is not None
    ]
    if problems:
        raise ConfigError(source, problems)
    document, unset = set_search_keys(Document(spec.to_dict(), {}, source), values)
    if unset:
        raise ConfigError(source, [replace(problem, line=None) for problem in unset])
    changed = parse_search(document.data, source, is_recorded=True).with_origin(spec.origin)
    missing = [Problem(key, rule) for key, rule in find_tracker_problems(changed.log_to)]
    if missing and changed.log_to != spec.log_to:
        raise ConfigError(source, missing)
    return changed


def _find_obstacle(spec: SearchSpec, key: str) -> str | None:
    """Returns the reason why a key cannot change while the sweep runs; None if it can."""
    if key.startswith(LIVE_KEYS):
        name = spec.tune.scheduler.name
        if key == "tune.num_samples" and name in FIXED_SIZE:
            return f"is fixed at the start under {name}, which groups all trials then"
        return None
    if key.startswith(CHANGEABLE_KEYS):
        return "takes effect with a new run: `sweep pause`, then `sweep resume` with --set"
    live = [other for other in flatten(spec.to_dict()) if other.startswith(LIVE_KEYS)]
    hint = suggestion(key, live)
    return f"is no key that can change while the sweep runs{hint}"


def read_settings(spec: SearchSpec, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values that a search file has for some dotted keys."""
    data: Any = spec.to_dict()
    values = {}
    for key in keys:
        value = data
        for step in key.split("."):
            value = value[step] if isinstance(value, Mapping) else None  # a tracker that is off
        values[key] = value
    return values
