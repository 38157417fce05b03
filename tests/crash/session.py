"""Runs the `sweep` command in its own session of processes, which can be killed as a whole.

Ray's processes are in another session, whose leader has the same mark in its environment. The two
sessions' ids find all processes, also after the end of the driver. No other process of the
machine is ever signalled.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent

POLL_S = 0.05
ACTOR_TITLE = b"Trainable"
WORKER_TITLE = ACTOR_TITLE + b".train"
"""Title of an actor during an epoch; between epochs it is ACTOR_TITLE."""


@dataclass(frozen=True)
class Process:
    """A live process, from /proc."""

    pid: int
    title: bytes


class Session:
    """A driver and all processes that it starts.

    Args:
        command: The result of `run_command` or `resume_command`.
        log: The file for its output.
        environment: Variables that are added to those of this process.
    """

    def __init__(self, command: list[str], log: Path, environment: Mapping[str, str]) -> None:
        self._mark = f"CRASH_SESSION={secrets.token_hex(8)}"
        paths = [environment.get("PYTHONPATH", ""), str(ROOT)]
        variables = {
            **os.environ,
            **environment,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            **dict([self._mark.split("=")]),
            "OMP_NUM_THREADS": "1",
            "RAY_worker_niceness": "0",  # workers of low priority would starve on a busy machine
        }
        with log.open("ab") as output:
            self._driver = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=variables,
                cwd=log.parent,
                start_new_session=True,
            )
        self.started = time.monotonic()
        self._ids = {self._driver.pid}
        """Ids of the sessions that belong to the driver."""
        self._other_leaders: set[int] = set()
        """Leaders of sessions that do not."""

    @property
    def exit_code(self) -> int | None:
        """The driver's exit code: None while it runs, negative for a signal."""
        return self._driver.poll()

    def wait(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Waits for a condition or the driver's end; returns whether either came in time."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.exit_code is not None or until():
                return True
            time.sleep(POLL_S)
        return False

    def signal(self, number: int) -> None:
        """Sends the driver a signal."""
        self._driver.send_signal(number)

    def signal_group(self, number: int) -> None:
        """Sends a signal to the driver's process group."""
        with suppress(ProcessLookupError):
            os.killpg(self._driver.pid, number)

    def kill_driver(self) -> None:
        """Kills only the driver."""
        self._driver.kill()
        self._driver.wait()

    def kill_all(self) -> None:
        """Kills the driver and all processes that it has started."""
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        self._driver.kill()
        self._driver.wait()

    def workers(self) -> list[int]:
        """Lists the processes that are training an epoch."""
        return sorted(p.pid for p in self.processes() if WORKER_TITLE in p.title)

    def writers(self) -> list[int]:
        """Lists the processes that have a trial, also between epochs."""
        return sorted(p.pid for p in self.processes() if ACTOR_TITLE in p.title)

    def find(self, program: str) -> list[int]:
        """Lists the processes that run a program of Ray: `gcs_server` or `raylet`."""
        end = f"/{program}".encode()
        return [p.pid for p in self.processes() if p.title.partition(b"\0")[0].endswith(end)]

    def processes(self) -> list[Process]:
        """Lists the live processes of the driver's and its Ray's session."""
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [process for pid in pids for process in self._find_member(pid)]

    def _find_member(self, pid: int) -> list[Process]:
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            # After the name in parentheses: state, parent, group, session.
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            if self._owns(int(fields[3])) and fields[0] != b"Z":
                return [Process(pid, Path(f"/proc/{pid}/cmdline").read_bytes())]
        return []

    def _owns(self, session: int) -> bool:
        """Returns whether the leader of a session has this one's mark."""
        if session in self._ids:
            return True
        if session in self._other_leaders:
            return False
        environment = Path(f"/proc/{session}/environ").read_bytes().split(b"\0")
        is_own = self._mark.encode() in environment
        (self._ids if is_own else self._other_leaders).add(session)
        return is_own

    def wait_for_writers(self, timeout_s: float) -> bool:
        """Waits until no process can write to the sweep; returns whether that came in time."""
        deadline = time.monotonic() + timeout_s
        while self.exit_code is None or self.writers():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True


def kill_process(pid: int) -> bool:
    """Kills one process and waits for its end; returns whether it existed."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    for _ in range(500):
        with suppress(FileNotFoundError, ProcessLookupError):
            state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
            if state not in (b"Z", b"X"):
                time.sleep(0.01)
                continue
        return True
    return True


def run_command(search_file: Path) -> list[str]:
    """Returns the command that starts a sweep."""
    script = str(ROOT / "sweeps" / "run.py")
    return [sys.executable, script, str(search_file), "--allow-custom-model"]


def resume_command(directory: Path, *, as_script: bool) -> list[str]:
    """Returns one of the two documented commands that resume a sweep."""
    if as_script:
        script = str(ROOT / "sweeps" / "run.py")
        return [sys.executable, script, "--resume", str(directory), "--allow-custom-model"]
    code = "from sweeps.cli.main import main; main()"
    return [sys.executable, "-c", code, "resume", str(directory), "--allow-custom-model"]
