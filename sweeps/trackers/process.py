"""Starts the process of a tracker's client and talks to it with a time limit."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sweeps.sweep_dir.layout import TRACKIO_FOLDER

ROOT = Path(__file__).resolve().parents[2]
"""The directory of the package `sweeps`."""
NICENESS = 5
"""By how much the process is nicer than the driver and the trials."""
CHUNK_BYTES = 1 << 16

QUIET = {
    "DO_NOT_TRACK": "1",
    "GIT_PYTHON_REFRESH": "quiet",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
}
"""Environment in which the clients report nothing about their use."""
DEFAULTS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""Environment unless the user has set another one."""
DROPPED = (
    *("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI"),
    *("TRACKIO_BUCKET_ID", "TRACKIO_DATASET_ID", "TRACKIO_SERVER_URL", "TRACKIO_SPACE_ID"),
    *("TRACKIO_WEBHOOK_URL", "WANDB_DIR", "WANDB_JOB_TYPE", "WANDB_MODE", "WANDB_NAME"),
    *("WANDB_PROJECT", "WANDB_RESUME", "WANDB_RUN_GROUP", "WANDB_RUN_ID", "WANDB_SWEEP_ID"),
)
"""Environment that would send the runs elsewhere than the search file says."""


class ClientError(Exception):
    """The client has failed."""


class ClientLostError(ClientError):
    """The client's process has ended, or has not answered in time."""


class ClientProcess:
    """The process of a tracker's client.

    Args:
        tracker: The tracker's key in `log_to`.
        directory: The sweep directory.
    """

    def __init__(self, tracker: str, directory: Path) -> None:
        words = [sys.executable, "-P", "-m", "sweeps.trackers.worker", tracker]
        self._process = subprocess.Popen(
            words,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=client_environment(os.environ, directory),
            start_new_session=True,  # Ctrl-C reaches only the driver, which ends it
        )
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)

    def ask(self, message: Mapping[str, Any], limit_s: float) -> dict[str, Any]:
        """Sends a message and waits until it has been carried out; returns the answer.

        Raises:
            ClientError: The client has failed.
            ClientLostError: Its process has ended, or has not answered within the limit.
        """
        deadline = time.monotonic() + limit_s
        self._send(json.dumps(message).encode() + b"\n", deadline)
        answer: dict[str, Any] = json.loads(self._receive(deadline))
        if "error" in answer:
            raise ClientError(answer["error"])
        return answer

    def kill(self) -> None:
        """Ends the process, whatever it does; another thread may be in `ask`."""
        self._process.kill()

    def close(self) -> None:
        """Ends the process and closes its pipes; no other thread may be in `ask`."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _send(self, data: bytes, deadline: float) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        view = memoryview(data)
        while view:
            self._wait_for(pipe.fileno(), selectors.EVENT_WRITE, deadline)
            try:
                view = view[os.write(pipe.fileno(), view[:CHUNK_BYTES]) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise ClientLostError(self._describe_end()) from error

    def _receive(self, deadline: float) -> bytes:
        pipe = self._process.stdout
        assert pipe is not None
        line = b""
        while not line.endswith(b"\n"):
            self._wait_for(pipe.fileno(), selectors.EVENT_READ, deadline)
            data = os.read(pipe.fileno(), CHUNK_BYTES)
            if not data:
                raise ClientLostError(self._describe_end())
            line += data
        return line

    def _wait_for(self, descriptor: int, event: int, deadline: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, event)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise ClientLostError("it does not answer")

    def _describe_end(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)
        return f"its process has ended with exit code {self._process.returncode}"


def client_environment(environment: Mapping[str, str], directory: Path) -> dict[str, str]:
    """Returns the environment of a client's process.

    Args:
        environment: That of the driver.
        directory: The sweep directory.
    """
    paths = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    return {
        "TRACKIO_DIR": str(directory / TRACKIO_FOLDER),
        **DEFAULTS,
        **{key: value for key, value in environment.items() if key not in DROPPED},
        **QUIET,
        "PYTHONPATH": os.pathsep.join(paths),
    }
