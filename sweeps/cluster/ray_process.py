"""Starts and ends a local Ray that has a session of processes of its own."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import tempfile
from importlib import import_module
from typing import Any

import ray

from sweeps.cluster.ray_host import kill_session
from sweeps.terminal.console import ray_output_enabled

END_TIMEOUT_S = 10
"""Longest wait for the end of Ray's processes, which are killed."""


class RayStartError(Exception):
    """Ray did not start.

    Attributes:
        kind: The name of the class of Ray's error; empty if the process ended without one.
    """

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


class RayProcess:
    """The processes of a local Ray, which end with this process, however it ends.

    Args:
        options: Keywords of Ray's `RayParams`, as JSON has them.

    Raises:
        RayStartError: Ray does not start.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        with tempfile.TemporaryFile() as errors:
            self._process = subprocess.Popen(
                # -P: the working directory may have modules named like a library.
                [sys.executable, "-P", "-m", "sweeps.cluster.ray_host", json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None if ray_output_enabled() else errors,
                start_new_session=True,
            )
            try:
                import_module("ray.tune")  # takes seconds, in which Ray's processes start
                self.address = self._read_address()
            except BaseException as error:
                self.end()
                if isinstance(error, RayStartError) and not str(error):
                    errors.seek(0)
                    last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
                    code = self._process.returncode
                    raise RayStartError(": ".join([f"exit code {code}", *last])) from None
                raise
        atexit.register(self.end)  # Ray's own exit handlers run later

    def _read_address(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": ""}
        if "error" in answer:
            raise RayStartError(answer["error"], answer.get("kind", ""))
        return str(answer["address"])

    def end(self) -> None:
        """Leaves Ray and ends its processes."""
        if self._process.poll() is None and ray.is_initialized():
            ray.shutdown()
        self.kill()
        atexit.unregister(self.end)

    def kill(self) -> None:
        """Kills Ray's processes."""
        if self._process.stdin is None or self._process.stdin.closed:
            return  # the ids of processes may by now be others'
        self._process.stdin.close()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        kill_session(self._process.pid)  # if that process was itself killed
