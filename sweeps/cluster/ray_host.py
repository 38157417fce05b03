"""The process that starts a local Ray in a session of its own, and ends it with the driver.

A signal to the driver's process group, as systemd, `timeout` and Slurm send it, does not reach the
session, so the trials can finish their epoch. The driver holds the other end of the standard
input, which the operating system closes however the driver ends.

Use: `python -m sweeps.cluster.ray_host OPTIONS`, with the keywords of Ray's `RayParams` as JSON.
It prints one line of JSON, with Ray's `address` or an `error`, and then waits for the driver.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

POLL_S = 1.0
WAIT = "--wait"
END_ATTEMPTS = 20
"""Most rounds of killing; a process may start another one in the meantime."""


def main() -> None:
    """Starts Ray, or waits for the driver's end if the argument is `WAIT`."""
    if sys.argv[1] == WAIT:
        _wait_for_driver(int(sys.argv[2]))
        return
    driver = os.getppid()
    threading.Thread(target=_wait_for_driver, args=(driver,), daemon=True).start()
    sys.excepthook = _report
    _answer({"address": _start(json.loads(sys.argv[1]))})
    # Ray's processes stay children of this one, which no longer needs Ray's 100 MB.
    os.execv(sys.executable, [sys.executable, "-I", "-S", __file__, WAIT, str(driver)])


def _report(kind: type[BaseException], error: BaseException, _traceback: object) -> None:
    """Sends the driver an error of the start."""
    _answer({"error": str(error), "kind": kind.__name__})


def _answer(answer: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _start(options: dict[str, Any]) -> str:
    """Starts the processes of a head node, as `ray.init` does; returns the address."""
    from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    ensure_token_if_auth_enabled(create_token_if_missing=True)
    node = Node(
        RayParams(**options),
        head=True,
        shutdown_at_exit=False,
        spawn_reaper=True,  # they also end if this process is killed
        ray_init_cluster=True,
    )
    return str(node.gcs_address)


def _wait_for_driver(driver: int) -> None:
    """Waits until the driver has ended or closed its pipe, then kills the session."""
    while os.getppid() == driver:
        readable, _, _ = select.select([sys.stdin.fileno()], [], [], POLL_S)
        if readable and not os.read(sys.stdin.fileno(), 1):
            break
    kill_session(os.getpid())
    os._exit(0)


def kill_session(session: int) -> None:
    """Kills the processes of a session, except this one."""
    for _ in range(END_ATTEMPTS):
        members = _list_members(session)
        if not members:
            return
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


def _list_members(session: int) -> list[int]:
    """Lists the living processes of a session but this one; empty where there is no /proc."""
    members = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # After the name in parentheses: state, parent, group, session.
            state, _, _, of = path.read_bytes().rpartition(b")")[2].split()[:4]
        except (OSError, ValueError):
            continue  # it has ended
        pid = int(path.parent.name)
        if int(of) == session and pid != os.getpid() and state not in (b"Z", b"X"):
            members.append(pid)
    return members


if __name__ == "__main__":
    main()
