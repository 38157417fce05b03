"""A training's entry on TensorBoard's HParams page: its hyperparameters, and how it ended.

The page lists a run whose event file has a record with the hyperparameters; a second record with
the status ends it. The page reads metrics from the curves of the same run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata, plugin_data_pb2, summary_v2
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS

MUTATED = "hparams/"
"""Prefix of the tag of a hyperparameter that a scheduler changes during training."""


@dataclass(frozen=True)
class Session:
    """A trial's entry on the page, which calls it a session.

    Args:
        trial: The trial's id.
        values: Dotted config key -> value, for every key that the sweep sets.
        mutated: The same for the keys that a scheduler changes during training.
    """

    trial: str
    values: Mapping[str, Any]
    mutated: Mapping[str, Any] = field(default_factory=dict)

    def start_event(self, time_s: float) -> Event:
        """Builds the record that starts the session."""
        values = {key: to_hparam(value) for key, value in self.values.items()}
        summary = summary_v2.hparams_pb(values, trial_id=self.trial, start_time_secs=time_s)
        return Event(wall_time=time_s, step=0, summary=summary)

    def points(self) -> list[Summary.Value]:
        """Returns the present numbers among the mutated values, as points of curves."""
        return [
            Summary.Value(tag=MUTATED + key, simple_value=value)
            for key, value in self.mutated.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        ]


def to_hparam(value: Any) -> bool | float | str:
    """Converts a config's value for the page: lists, mappings and null become JSON."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float) and math.isfinite(value):
        return value
    return json.dumps(value)


def end_event(time_s: float, *, failed: bool) -> Event:
    """Builds the record that ends a session."""
    status = STATUS_FAILURE if failed else STATUS_SUCCESS
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time_s)
    data = plugin_data_pb2.HParamsPluginData(session_end_info=end)
    value = Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(data),
        tensor=metadata.NULL_TENSOR,
    )
    return Event(wall_time=time_s, step=0, summary=Summary(value=[value]))


def is_start(event: Event) -> bool:
    """Returns whether this record starts a session."""
    return _has_tag(event, metadata.SESSION_START_INFO_TAG)


def is_end(event: Event) -> bool:
    """Returns whether this record ends a session."""
    return _has_tag(event, metadata.SESSION_END_INFO_TAG)


def same_values(first: Event, second: Event) -> bool:
    """Returns whether two records start sessions with the same values."""
    return bool(_parse_values(first) == _parse_values(second))


def _parse_values(event: Event) -> Any:
    content = event.summary.value[0].metadata.plugin_data.content
    return dict(metadata.parse_session_start_info_plugin_data(content).hparams)


def _has_tag(event: Event, tag: str) -> bool:
    return any(value.tag == tag for value in event.summary.value)
