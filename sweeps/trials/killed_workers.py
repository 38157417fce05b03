"""Makes Tune treat every loss of a worker as the failure of its trial.

Tune knows two kinds of failures, an actor that died and an exception of its code. Ray has more:
its memory monitor kills the worker of a host that runs out of memory, and reports
`OutOfMemoryError`. Tune ends the whole run on it.

`tests/integration/test_tune_contract.py` checks the private names of Ray that are used here.
"""

from __future__ import annotations

from typing import Any

from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError


class KilledWorkerError(RayActorError):
    """A worker that was lost in a way that Tune does not know."""


def report_killed_workers(controller: Any) -> None:
    """Has the losses of workers reported to the trials of a run of Tune.

    Args:
        controller: Tune's controller, as schedulers get it; nothing is done a second time.
    """
    manager = getattr(getattr(controller, "_tune_controller", None), "_actor_manager", None)
    if manager is None or "_actor_task_failed" in vars(manager):
        return
    handle = manager._actor_task_failed

    def report(tracked_actor_task: Any, exception: Exception) -> None:
        handle(tracked_actor_task=tracked_actor_task, exception=as_actor_error(exception))

    manager._actor_task_failed = report


def as_actor_error(error: Exception) -> Exception:
    """Returns the loss of a worker as an error that Tune knows, with the same text."""
    if isinstance(error, RayActorError | RayTaskError) or not isinstance(error, RayError):
        return error
    kind = OutOfMemoryError if isinstance(error, OutOfMemoryError) else type(error)
    return KilledWorkerError(error_msg=f"{kind.__name__}: {error}")
