"""The machine that a sweep is made for, in a container with limits."""

import os
from pathlib import Path

import pytest

from sweeps.cluster import placement
from sweeps.init import machine
from sweeps.init.machine import read_machine
from trainable.data.cache import memory


@pytest.mark.parametrize(
    ("quota", "limit", "expected"),
    [("250000 100000", "4294967296", (2, 4.0)), ("50000 100000", "1073741824", (1, 1.0))],
)
def test_a_container_has_its_own_cores_and_memory(
    quota: str,
    limit: str,
    expected: tuple[int, float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    monkeypatch.setattr(placement, "CGROUP", tmp_path)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.setattr(machine, "this_machine", lambda: {"CPU": 8.0, "GPU": 0.0})
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    container = read_machine()
    assert (container.cpus, container.memory_gib, container.gpus) == (*expected, 0)
