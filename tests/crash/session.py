"""One run of the `sweep` command in its own session of processes, which can be killed as a whole.

Ray's processes are children of the driver and stay in its session, so that the session's number
finds them all, also after the driver has gone. Nothing else on the machine is ever signalled.
"""

from __future__ import annotations

import os
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
"""Of an actor in an epoch; between two it is ACTOR_TITLE alone."""


@dataclass(frozen=True)
class Process:
    """A live process, as /proc shows it."""

    pid: int
    title: bytes


class Session:
    """A started driver and whatever it starts.

    Args:
        command: As `run_command` and `resume_command` make it.
        log: Its output goes here.
        environment: On top of this process's own.
    """

    def __init__(self, command: list[str], log: Path, environment: Mapping[str, str]) -> None:
        paths = [environment.get("PYTHONPATH", ""), str(ROOT)]
        variables = {
            **os.environ,
            **environment,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "OMP_NUM_THREADS": "1",
            "RAY_worker_niceness": "0",  # on a busy machine nice workers get nothing done
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

    @property
    def exit_code(self) -> int | None:
        """The driver's, None while it runs; negative for a signal."""
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

    def kill_driver(self) -> None:
        """SIGKILL to the driver alone."""
        self._driver.kill()
        self._driver.wait()

    def kill_all(self) -> None:
        """SIGKILL to the driver and to every process of its session."""
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        self._driver.kill()
        self._driver.wait()

    def workers(self) -> list[int]:
        """Processes that train an epoch at this moment."""
        return sorted(p.pid for p in self.processes() if WORKER_TITLE in p.title)

    def writers(self) -> list[int]:
        """Processes that hold a trial, be it between two epochs."""
        return sorted(p.pid for p in self.processes() if ACTOR_TITLE in p.title)

    def processes(self) -> list[Process]:
        """Every live process of the session."""
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [process for pid in pids for process in self._member(pid)]

    def _member(self, pid: int) -> list[Process]:
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            # After the name in parentheses: state, parent, group, session.
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            if int(fields[3]) == self._driver.pid and fields[0] != b"Z":
                return [Process(pid, Path(f"/proc/{pid}/cmdline").read_bytes())]
        return []

    def gone(self, timeout_s: float) -> bool:
        """Waits for every process that can write to the sweep; returns whether they ended."""
        deadline = time.monotonic() + timeout_s
        while self.exit_code is None or self.writers():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True


def kill_process(pid: int) -> bool:
    """SIGKILL to one process; waits until it is dead; returns whether it was there."""
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
    """Starts a sweep."""
    script = str(ROOT / "sweeps" / "run.py")
    return [sys.executable, script, str(search_file), "--allow-custom-model"]


def resume_command(directory: Path, *, as_script: bool) -> list[str]:
    """Goes on with a sweep, by either of the documented commands."""
    if as_script:
        script = str(ROOT / "sweeps" / "run.py")
        return [sys.executable, script, "--resume", str(directory), "--allow-custom-model"]
    code = "from sweeps.cli.main import main; main()"
    return [sys.executable, "-c", code, "resume", str(directory), "--allow-custom-model"]
