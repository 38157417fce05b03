"""The process that ends a local Ray with its driver."""

import os
import subprocess
import sys

from sweeps.cluster import ray_host

END_TIMEOUT_S = 30


def start_waiting(driver: int) -> subprocess.Popen[bytes]:
    """Starts the process as it is while Ray runs, with another process in its session.

    Both hold the standard output, which ends when both have.
    """
    wait = f'"{sys.executable}" -I -S "{ray_host.__file__}" {ray_host.WAIT} {driver}'
    return subprocess.Popen(
        ["bash", "-c", f"sleep 600 & exec {wait}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def test_the_session_ends_when_the_driver_closes_its_pipe() -> None:
    process = start_waiting(os.getpid())
    assert process.poll() is None
    assert os.getsid(process.pid) == process.pid
    process.communicate(timeout=END_TIMEOUT_S)
    assert process.returncode == 0


def test_the_session_ends_with_the_driver_even_if_another_process_holds_the_pipe() -> None:
    process = start_waiting(driver=1)
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdout.read()
    assert process.wait(END_TIMEOUT_S) == 0
    process.stdin.close()
