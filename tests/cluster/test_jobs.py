"""A sweep that is submitted as a job, paused, submitted again and finished."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sweeps.sweep_dir.layout import SweepLayout
from tests.cluster.conftest import HAS_JOBS, Nodes, sweep, wait_for
from tests.cluster.test_nodes import rows

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not HAS_JOBS, reason="needs ray[default]"),
]


def test_a_job_is_paused_submitted_again_and_finishes(nodes: Nodes, project: Path) -> None:
    directory = project.parent / "shared" / "sweep"
    server = ("--address", nodes.http)

    def submit() -> str:
        done = sweep("submit", "search.yaml", "--allow-custom-model", *server, cwd=project)
        assert done.returncode == 0, done.stderr
        size, first, *hints, last = done.stdout.splitlines()
        assert size.endswith("iB of code to the cluster")
        job = first.split()[1].rstrip(":")
        assert first == f"job {job}: sweep sweep, in {directory}"
        assert f"sweep jobs pause {job} --address {nodes.http}" in hints[-1]
        assert last == "  resume it: repeat this command"
        return job

    def query(verb: str, job: str) -> str:
        done = sweep("jobs", verb, job, *server, cwd=project)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def is_over(job: str) -> bool:
        return not {"running", "pending"} & set(query("status", job).split())

    job = submit()
    wait_for(
        lambda: directory.exists() and sum(len(e) >= 2 for e in rows(directory).values()) == 2
    )
    assert query("status", job) == f"job {job}: running\n"
    assert "running trials finish their epoch and save" in query("pause", job)
    (project.parent / "slow").unlink()
    wait_for(lambda: is_over(job))
    assert query("status", job) == f"job {job}: stopped; submit it again to resume the sweep\n"
    paused = SweepLayout(directory).read_sweep()
    assert (paused.state, paused.reason) == ("paused", "SIGTERM")
    before = rows(directory)
    assert all(epochs == list(range(1, len(epochs) + 1)) for epochs in before.values())
    assert "paused by SIGTERM; resume it with:" in query("logs", job)
    assert query("pause", job) == f"job {job} was not running\n"

    job = submit()
    wait_for(lambda: is_over(job))
    assert query("status", job) == f"job {job}: finished\n"
    assert "of them ended" in query("logs", job)
    trials = SweepLayout(directory).read_trials()
    assert {trial.state for trial in trials} == {"finished"}
    assert rows(directory) == {trial.id: list(range(1, 13)) for trial in trials}
    assert not any(trial.failures for trial in trials)
    assert list_states(project, *server) == ["stopped;", "finished"]
    assert_without_token(directory)


def assert_without_token(directory: Path) -> None:
    secret = os.environ["RAY_AUTH_TOKEN"]
    for path in directory.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def list_states(project: Path, *server: str) -> list[str]:
    """Returns the first word of the state of each of the sweep's jobs in `sweep jobs`."""
    done = sweep("jobs", *server, cwd=project, environment={"COLUMNS": "200"})
    lines = [line.split() for line in done.stdout.splitlines()]
    # The third and fourth words are the date and the time.
    return [words[4] for words in lines if words[1:2] == ["sweep"] and words[0] != "job"]
