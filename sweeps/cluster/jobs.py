"""Submits sweeps as jobs of a Ray cluster, and queries and pauses these jobs.

A job runs `python sweeps/run.py search.yaml --or-resume`, so submitting it again resumes the
sweep.
"""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ray.exceptions import RayError
from ray.job_submission import JobSubmissionClient

from sweeps.cluster.code_package import SUBMIT_LIMIT_BYTES, CodePackage
from sweeps.cluster.ray_token import show_token
from sweeps.cluster.session import WORKER_ENVIRONMENT
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SEARCH_FILE
from sweeps.terminal.console import print_line
from sweeps.terminal.formatting import format_size

PAUSE_TIMEOUT_S = 24 * 3600
"""Longest time from stopping a job to killing it: running epochs finish in it. Ray's default is
3 s."""

POLL_INTERVAL_S = 2.0

NAME, SAVES = "tune-sweeps.name", "tune-sweeps.saves"
"""Keys of a job's metadata: the sweep's name, and `true` if its trials save checkpoints."""

STATE_BY_EXIT_CODE = {
    0: "finished",
    1: "finished, some trials failed",
    2: "refused; see its log",
    3: "paused by its budget, a full disk or sweep pause",
    4: "paused; Ray has died",
    129: "paused",
    130: "paused",
    143: "paused",
}
"""Exit code of `sweep run` -> state of the job in words."""


def connect(address: str) -> JobSubmissionClient:
    """Returns a client of a cluster's job server.

    Args:
        address: The server's address: `http://HEAD:8265`.

    Raises:
        SweepError: No job server answers at the address.
    """
    if not address.startswith(("http://", "https://")):
        raise SweepError(
            f"--address {address}: give the address of the job server: http://HEAD:8265"
        )
    show_token()
    try:
        return JobSubmissionClient(address)
    except (ImportError, RuntimeError, ConnectionError, RayError) as error:
        reason = " ".join(str(error).split())
        if "ray[default]" in reason:
            raise SweepError(
                'jobs need an extra of Ray: pip install "tune-sweeps[cluster]", or '
                'pip install "ray[default]"'
            ) from error
        raise SweepError(
            f"--address {address}: no answer from a job server: {reason} (it is part of "
            "ray[default] on the head node; if it requires a token, set RAY_AUTH_TOKEN to it)"
        ) from error


def submit(
    client: JobSubmissionClient,
    search: str,
    package: CodePackage,
    options: list[str],
    metadata: dict[str, str],
) -> str:
    """Submits a sweep.

    Args:
        client: A client of the cluster's job server.
        search: The search file's text, with the training config in it.
        package: The code; a `search.yaml` at its top level is replaced.
        options: Options of `sweep run`.
        metadata: What `sweep jobs` is to know of the sweep: `NAME`, `SAVES`.

    Returns:
        The job's id.

    Raises:
        SweepError: The code is too large, or the job server refuses the job.
    """
    with tempfile.TemporaryDirectory() as folder:
        search_file = Path(folder) / SEARCH_FILE
        search_file.write_text(search, encoding="utf-8")
        package = CodePackage({**package.files, SEARCH_FILE: search_file})
        package.check_size(SUBMIT_LIMIT_BYTES)
        working_dir = Path(folder) / "code"
        package.link_into(working_dir)
        print_line(f"sending {format_size(package.size)} of code to the cluster")
        command = ["python", "sweeps/run.py", SEARCH_FILE, "--or-resume", *options]
        variables = {
            **WORKER_ENVIRONMENT,
            "RAY_JOB_STOP_SIGNAL": "SIGTERM",
            "RAY_JOB_STOP_WAIT_TIME_S": str(PAUSE_TIMEOUT_S),
        }
        runtime_env = {"working_dir": str(working_dir), "env_vars": variables}
        try:
            entrypoint = shlex.join(command)
            return client.submit_job(
                entrypoint=entrypoint, runtime_env=runtime_env, metadata=metadata
            )
        except (RuntimeError, ConnectionError, RayError) as error:
            raise SweepError(f"the job server refused the job: {_first_line(error)}") from error


@dataclass(frozen=True)
class Job:
    """A job of a cluster, which may be another's than a sweep's."""

    id: str
    state: str
    """In words."""
    sweep: str | None
    """The sweep's name; None if `sweep submit` has not sent the job, or an earlier version has."""
    saves: bool
    """Whether the sweep's trials save checkpoints."""
    started: str | None
    """UTC time, in ISO format."""
    command: str


def list_jobs(client: JobSubmissionClient) -> list[Job]:
    """Lists the submitted jobs of a cluster that it still knows, oldest first."""
    submitted = [info for info in _call(None, client.list_jobs) if info.submission_id]
    return [_read_job(info) for info in sorted(submitted, key=lambda info: info.start_time or 0)]


def read_job(client: JobSubmissionClient, job: str) -> Job:
    """Reads a job.

    Raises:
        SweepError: The cluster does not know it.
    """
    return _read_job(_call(job, client.get_job_info, job))


def _read_job(info: Any) -> Job:
    metadata = info.metadata or {}
    start = info.start_time
    return Job(
        info.submission_id,
        _describe_state(info),
        metadata.get(NAME),
        metadata.get(SAVES) == "true",
        None if start is None else datetime.fromtimestamp(start / 1000, UTC).isoformat(),
        info.entrypoint,
    )


def _describe_state(info: Any) -> str:
    code, state = info.driver_exit_code, str(info.status.value).lower()
    if state == "stopped":
        resume = "; submit it again to resume the sweep" if NAME in (info.metadata or {}) else ""
        return f"stopped{resume}"
    if code is None:
        return f"failed: {info.message}" if state == "failed" else state
    return STATE_BY_EXIT_CODE.get(code, f"failed with exit code {code}; see its log")


def stop(client: JobSubmissionClient, job: str) -> bool:
    """Requests the end of a job, with SIGTERM; returns whether it was running."""
    return bool(_call(job, client.stop_job, job))


def output(client: JobSubmissionClient, job: str, *, follow: bool) -> Iterator[str]:
    """Yields the output of a job in pieces; with `follow` until the job has ended."""
    printed = 0
    while True:
        ended = _call(job, client.get_job_status, job).is_terminal()
        text = str(_call(job, client.get_job_logs, job))
        yield text[printed:]
        printed = len(text)
        if ended or not follow:
            return
        time.sleep(POLL_INTERVAL_S)


def _call(job: str | None, method: Any, *args: Any) -> Any:
    try:
        return method(*args)
    except (RuntimeError, ConnectionError, RayError) as error:
        subject = "the job server" if job is None else f"job {job}"
        raise SweepError(f"{subject}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
