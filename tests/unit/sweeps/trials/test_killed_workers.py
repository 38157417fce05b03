"""Losses of workers that Tune does not know are failures of their trials."""

from __future__ import annotations

import pytest
from ray.exceptions import (
    ActorDiedError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
)

from sweeps.sweep_dir.records import Cause
from sweeps.trials.failures import WORKER_DIED, describe, find_cause
from sweeps.trials.killed_workers import as_actor_error

KILLED = "Task was killed due to the node running low on memory.\nMemory was 9.2GB / 24.0GB"


@pytest.mark.parametrize(
    ("error", "cause", "message"),
    [
        (OutOfMemoryError(KILLED), "oom", "OutOfMemoryError: Task was killed due to the node"),
        (NodeDiedError("the node is dead"), "lost_worker", WORKER_DIED),
    ],
)
def test_they_become_a_dead_actor_with_the_same_text(
    error: Exception, cause: Cause, message: str
) -> None:
    reported = as_actor_error(error)
    assert isinstance(reported, RayActorError)
    assert find_cause(reported) == cause
    failure = describe(reported, cause, 1, None)
    assert failure.message.startswith(message)
    assert str(error) in failure.traceback


def test_what_tune_knows_stays_as_it_is() -> None:
    task = RayTaskError("train", "RuntimeError: no", RuntimeError("no"))
    for error in (ActorDiedError(), task, RuntimeError("of Tune")):
        assert as_actor_error(error) is error
