"""Reads TensorBoard's HParams page and curves with TensorBoard's own backend."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, list_session_groups
from tensorboard.plugins.hparams.backend_context import Context


@dataclass(frozen=True)
class Row:
    """One row of the page's table."""

    run: str
    status: str
    values: dict[str, Any]
    metrics: dict[str, float]


def page(logdir: Path) -> dict[str, Row]:
    """Returns the rows of the page by their names; a row must belong to exactly one run."""
    runs = EventMultiplexer()
    runs.AddRunsFromDirectory(str(logdir))
    runs.Reload()
    provider = MultiplexerDataProvider(runs, str(logdir))
    statuses = api_pb2.Status.values()
    request = api_pb2.ListSessionGroupsRequest(slice_size=1000, allowed_statuses=statuses)
    context = Context(TBContext(data_provider=provider, logdir=str(logdir)))
    response = list_session_groups.Handler(RequestContext(), context, "", request).run()
    return {group.name: _read_row(group) for group in response.session_groups}


def _read_row(group: Any) -> Row:
    (session,) = group.sessions
    return Row(
        run=session.name,
        status=api_pb2.Status.Name(session.status).removeprefix("STATUS_"),
        values={key: json_format.MessageToDict(value) for key, value in group.hparams.items()},
        metrics={metric.name.tag: metric.value for metric in group.metric_values},
    )


def points(directory: Path, tag: str) -> list[tuple[int, float]]:
    """Returns step and value of every point of a curve, as TensorBoard shows them."""
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0})
    events.Reload()
    return [(point.step, point.value) for point in events.Scalars(tag)]


def tags(directory: Path) -> set[str]:
    """Returns the tags of the curves in a directory."""
    events = EventAccumulator(str(directory))
    events.Reload()
    return set(events.Tags()["scalars"])
