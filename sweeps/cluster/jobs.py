"""Sweeps as jobs of a Ray cluster: sent there with their code, asked about, paused.

A job runs `python sweeps/run.py search.yaml --or-resume`, so that sending it once more goes on
with the sweep.
"""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray.exceptions import RayError
from ray.job_submission import JobSubmissionClient

from sweeps.cluster.code_package import SUBMITTED_LIMIT, Parcel
from sweeps.cluster.session import WORKER_ENVIRONMENT
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SEARCH_FILE
from sweeps.terminal.console import print_line
from sweeps.terminal.formatting import format_size

PAUSE_S = 24 * 3600
"""How long a job that is stopped may take for its running epochs; Ray's own 3 s would kill it."""

POLL_S = 2.0

ENDINGS = {
    0: "finished",
    1: "finished, some trials failed",
    2: "refused; see its log",
    3: "paused by its budget, a full disk or sweep stop",
    130: "paused",
    143: "paused",
}
"""Exit code of `sweep run` -> what it means."""


def connect(address: str) -> JobSubmissionClient:
    """A client of a cluster's job server.

    Args:
        address: `http://HEAD:8265`.

    Raises:
        SweepError: Nothing that takes jobs is there.
    """
    if not address.startswith(("http://", "https://")):
        raise SweepError(f"--address {address}: give the job server's, as http://HEAD:8265")
    try:
        return JobSubmissionClient(address)
    except (ImportError, RuntimeError, ConnectionError, RayError) as error:
        reason = " ".join(str(error).split())
        if "ray[default]" in reason:
            raise SweepError(
                'jobs need more of Ray than is installed: pip install "tune-sweeps[cluster]", or '
                'pip install "ray[default]"'
            ) from error
        raise SweepError(
            f"--address {address}: no answer from a job server: {reason} (it is part of "
            "ray[default] on the head; one that wants a token gets it with RAY_AUTH_MODE=token)"
        ) from error


def submit(client: JobSubmissionClient, search: str, parcel: Parcel, options: list[str]) -> str:
    """Sends a sweep.

    Args:
        client: Of the cluster.
        search: The search file's text, its training config in it.
        parcel: The code; `search.yaml` on top is replaced.
        options: Of `sweep run`.

    Returns:
        The job's id.

    Raises:
        SweepError: It is too large, or the job server does not take it.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / SEARCH_FILE
        file.write_text(search, encoding="utf-8")
        whole = Parcel({**parcel.files, SEARCH_FILE: file})
        whole.check(SUBMITTED_LIMIT)
        archive = Path(folder) / "code.zip"
        whole.write(archive)
        print_line(f"sending {format_size(whole.size)} of code to the cluster")
        command = ["python", "sweeps/run.py", SEARCH_FILE, "--or-resume", *options]
        variables = {
            **WORKER_ENVIRONMENT,
            "RAY_JOB_STOP_SIGNAL": "SIGTERM",
            "RAY_JOB_STOP_WAIT_TIME_S": str(PAUSE_S),
        }
        environment = {"working_dir": str(archive), "env_vars": variables}
        try:
            return str(client.submit_job(entrypoint=shlex.join(command), runtime_env=environment))
        except (RuntimeError, ConnectionError, RayError) as error:
            raise SweepError(f"the job was not taken: {_first_line(error)}") from error


def describe(client: JobSubmissionClient, job: str) -> str:
    """What a job is doing, or what it came to."""
    info: Any = _asked(job, client.get_job_info, job)
    code, state = info.driver_exit_code, info.status.value.lower()
    if state == "stopped":
        return "stopped; sent once more, the sweep goes on"
    if code is None:
        return f"failed: {info.message}" if state == "failed" else state
    return ENDINGS.get(code, f"failed with exit code {code}; see its log")


def stop(client: JobSubmissionClient, job: str) -> bool:
    """Asks a job to pause; tells whether it was running."""
    return bool(_asked(job, client.stop_job, job))


def output(client: JobSubmissionClient, job: str, *, follow: bool) -> Iterator[str]:
    """What a job has printed, piece by piece; with `follow` until it has ended."""
    shown = 0
    while True:
        ended = _asked(job, client.get_job_status, job).is_terminal()
        text = str(_asked(job, client.get_job_logs, job))
        yield text[shown:]
        shown = len(text)
        if ended or not follow:
            return
        time.sleep(POLL_S)


def _asked(job: str, question: Any, *args: Any) -> Any:
    try:
        return question(*args)
    except (RuntimeError, ConnectionError, RayError) as error:
        raise SweepError(f"job {job}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
