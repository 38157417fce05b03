"""The checks of limits, memory and directories, with what a machine may have."""

import os
import resource
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from sweeps.cluster import placement, start_checks
from sweeps.doctor import machine
from sweeps.doctor.check import Check
from sweeps.doctor.machine import check_machine

GIB = 2**30
Usage = namedtuple("Usage", ["total", "used", "free"])


def only(name: str) -> Check:
    """Returns the check of this name, the worst one if there are several."""
    checks = [check for check in check_machine() if check.name == name]
    states = ["ok", "warning", "problem"]
    return max(checks, key=lambda check: states.index(check.state))


@pytest.fixture(autouse=True)
def _large_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without limits, with 64 GiB of memory and 8 CPUs."""
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    infinite = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (infinite, infinite))
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(machine, "machine_memory", lambda: 64 * GIB)
    monkeypatch.setattr(machine, "available_memory", lambda: 60 * GIB)
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(placement, "CGROUP", tmp_path)
    monkeypatch.setattr(machine, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100 * GIB, 10 * GIB, 90 * GIB))
    monkeypatch.setenv("TMPDIR", "/tmp")


def test_a_large_machine_has_no_warning() -> None:
    checks = list(check_machine())
    assert [check for check in checks if check.state != "ok"] == []
    assert {check.name for check in checks} == {
        *("limits", "CPUs", "memory"),
        *("shared memory", "temporary files", "home"),
    }


def test_limits_that_keep_ray_from_starting_are_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (64, 64))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    results = [check for check in check_machine() if check.name == "limits"]
    assert [check.state for check in results] == ["problem", "problem"]
    assert results[0].found == "the limit of open files is 64, Ray needs 112 on 8 CPUs"
    assert results[0].remedy == "ulimit -n 112"


@pytest.mark.parametrize(("limit", "states"), [("100", ["problem"]), ("max", ["ok"])])
def test_the_number_of_processes_of_a_container(
    limit: str, states: list[str], tmp_path: Path
) -> None:
    (tmp_path / "pids.max").write_text(f"{limit}\n")
    assert [check.state for check in check_machine() if check.name == "limits"] == states


def test_a_container_with_fewer_cpus_than_the_machine(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    check = only("CPUs")
    assert (check.state, check.found[:32]) == ("warning", "this process may use 2.5 of 8; R")
    assert check.remedy == "tune.max_concurrent_trials: 2 in the search file"


def test_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_memory", lambda: 6 * GIB)
    assert only("memory").found.startswith("64.0 GiB, 6.0 GiB of it available: Ray ends trials")


def test_little_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Usage(64 * 2**20, 0, 64 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: small)
    check = only("shared memory")
    assert check.state == "warning"
    assert "64.0 MiB free of 64.0 MiB" in check.found
    assert check.remedy == "docker run --shm-size 20g; or dataset.num_workers: 0"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(20 * GIB, 0, 20 * GIB))
    assert only("shared memory").state == "ok"


def test_directories_of_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    full = Usage(100 * GIB, 97 * GIB, 3 * GIB)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    assert "Ray stops when 5 % are left" in only("temporary files").found
    monkeypatch.setenv("TMPDIR", "/tmp/" + "x" * 60)
    check = only("temporary files")
    assert check.state == "warning"
    assert "too many for Ray's sockets" in check.found
    assert check.remedy == "export RAY_TMPDIR=DIR, where DIR/ray has at most 43 characters"
    monkeypatch.setattr(start_checks, "SHARED_DIRECTORIES", ())
    assert only("temporary files").state == "problem"
