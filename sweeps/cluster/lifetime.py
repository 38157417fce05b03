"""The time for which a sweep has its process and the Ray in it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from sweeps.cluster.local_ray import end_local, set_variables
from sweeps.cluster.session import ENVIRONMENT
from sweeps.sweep_dir.errors import SweepError
from trainable.signals import SIGNALS, StopRequest

_in_use = threading.Lock()


@contextmanager
def sole_sweep() -> Iterator[None]:
    """Keeps other sweeps out of this process, and ends the Ray that the sweep starts here.

    A Ray that runs already is left running. The signals' handlers, which Ray replaces, and the
    environment variables that are set for Ray and Tune are restored.

    Raises:
        SweepError: A sweep is running in this process: Tune's settings are variables of the
            process's environment, and Ray belongs to one of them.
    """
    if not _in_use.acquire(blocking=False):
        raise SweepError(
            "a sweep is running in this process already; start the next one when it has ended, or "
            "run it in a process of its own"
        )
    was_initialized = ray.is_initialized()
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    environment = {name: os.environ.get(name) for name in (*ENVIRONMENT, "PYTHONPATH")}
    try:
        yield
    finally:
        try:
            _restore(handlers)
            if not was_initialized and ray.is_initialized():
                _end_ray()
        finally:
            set_variables(environment)
            _in_use.release()


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    """Gives signals their handlers back, which Ray's start has replaced."""
    if _in_main_thread():
        for number, handler in handlers.items():
            if handler is not None:  # not installed from Python
                signal.signal(number, handler)


def _end_ray() -> None:
    """Ends Ray. A signal meanwhile waits until it has ended: interrupted, it may crash."""
    if not _in_main_thread():
        end_local()
        return
    with StopRequest() as request:
        end_local()
    if request.signal is not None:
        signal.raise_signal(request.signal)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
