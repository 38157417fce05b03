"""What TensorBoard's HParams page shows of a training: its values, and how it ended.

The page takes a run for a session when its event file has a record with the values; a second one
with the status ends it. Metrics it reads from the curves of the same run.
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
"""What is before the key in the tag of a value that changes in mid-training."""


@dataclass(frozen=True)
class Session:
    """A trial as the page names it.

    Args:
        trial: Its id.
        values: Dotted key of the config -> value, of what a sweep sets.
        mutated: Those of them that a scheduler changes in mid-training.
    """

    trial: str
    values: Mapping[str, Any]
    mutated: Mapping[str, Any] = field(default_factory=dict)

    def started(self, at: float) -> Event:
        """The record that a session begins with."""
        values = {key: shown(value) for key, value in self.values.items()}
        summary = summary_v2.hparams_pb(values, trial_id=self.trial, start_time_secs=at)
        return Event(wall_time=at, step=0, summary=summary)

    def points(self) -> list[Summary.Value]:
        """The present numbers among the values that change, as points of curves."""
        return [
            Summary.Value(tag=MUTATED + key, simple_value=value)
            for key, value in self.mutated.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        ]


def shown(value: Any) -> bool | float | str:
    """A config's value as the page can show it: lists, mappings and null as JSON."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float) and math.isfinite(value):
        return value
    return json.dumps(value)


def ended(at: float, *, failed: bool) -> Event:
    """The record that a session ends with."""
    status = STATUS_FAILURE if failed else STATUS_SUCCESS
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=at)
    data = plugin_data_pb2.HParamsPluginData(session_end_info=end)
    value = Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(data),
        tensor=metadata.NULL_TENSOR,
    )
    return Event(wall_time=at, step=0, summary=Summary(value=[value]))


def is_start(event: Event) -> bool:
    """Whether a session begins with this record."""
    return _has_tag(event, metadata.SESSION_START_INFO_TAG)


def is_end(event: Event) -> bool:
    """Whether a session ends with this record."""
    return _has_tag(event, metadata.SESSION_END_INFO_TAG)


def same_values(first: Event, second: Event) -> bool:
    """Whether two sessions begin with the same values."""
    return bool(_values(first) == _values(second))


def _values(event: Event) -> Any:
    content = event.summary.value[0].metadata.plugin_data.content
    return dict(metadata.parse_session_start_info_plugin_data(content).hparams)


def _has_tag(event: Event, tag: str) -> bool:
    return any(value.tag == tag for value in event.summary.value)
