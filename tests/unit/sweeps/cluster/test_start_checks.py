"""Obstacles on this machine are reported before Ray starts."""

import os
import resource
from pathlib import Path

import pytest

from sweeps.cluster import start_checks
from sweeps.cluster.start_checks import (
    MAX_DIRECTORY_BYTES,
    SOCKET,
    check_limits,
    choose_directory,
    choose_store_bytes,
    describe_problem,
)
from sweeps.sweep_dir.errors import SweepError

INFINITE = resource.RLIM_INFINITY


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[int, int]]:
    """Resource -> soft and hard limit of this process; unlimited without an entry."""
    limits: dict[int, tuple[int, int]] = {}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits.get(kind, (INFINITE, INFINITE)))
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return limits


def test_a_machine_without_limits_is_left_to_ray(limits: dict[int, tuple[int, int]]) -> None:
    check_limits()
    assert choose_store_bytes() is None


def test_each_limit_is_named_with_what_ray_needs(limits: dict[int, tuple[int, int]]) -> None:
    limits[resource.RLIMIT_NOFILE] = (64, 64)
    limits[resource.RLIMIT_NPROC] = (100, INFINITE)
    limits[resource.RLIMIT_AS] = (3 * 2**30, INFINITE)
    with pytest.raises(SweepError) as caught:
        check_limits()
    assert str(caught.value) == (
        "Ray cannot start on this machine: "
        "the limit of open files is 64, Ray needs 120 on 10 CPUs (raise it: ulimit -n 120); "
        "the limit of processes and threads is 100, Ray needs 450 on 10 CPUs "
        "(raise it: ulimit -u 450); "
        "the limit of address space in KiB is 3145728, Ray needs 8388608 on 10 CPUs "
        "(raise it: ulimit -v unlimited)"
    )


def test_a_limit_that_ray_raises_itself_is_no_problem(limits: dict[int, tuple[int, int]]) -> None:
    limits[resource.RLIMIT_NOFILE] = (64, 4096)
    check_limits()


def test_the_limit_of_processes_does_not_apply_to_root(
    limits: dict[int, tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    limits[resource.RLIMIT_NPROC] = (100, 100)
    check_limits()


def test_under_a_limit_of_the_address_space_the_store_is_small(
    limits: dict[int, tuple[int, int]],
) -> None:
    limits[resource.RLIMIT_AS] = (20 * 2**30, INFINITE)
    check_limits()
    assert choose_store_bytes() == 256 * 2**20


def test_the_longest_directory_has_room_for_rays_sockets() -> None:
    assert MAX_DIRECTORY_BYTES + len(SOCKET) == 107
    assert describe_problem(Path("/" + "x" * (MAX_DIRECTORY_BYTES - 1))) is None or os.geteuid()
    problem = describe_problem(Path("/" + "x" * MAX_DIRECTORY_BYTES))
    assert problem is not None
    assert "too many for Ray's sockets" in problem


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A short directory in place of /tmp; the user's TMPDIR is its `mine`."""
    monkeypatch.setattr(start_checks, "MAX_DIRECTORY_BYTES", len(str(tmp_path)) + 20)
    monkeypatch.setattr(start_checks, "SHARED_DIRECTORIES", (str(tmp_path),))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "mine"))
    return tmp_path


def test_rays_directory_is_in_the_users_directory_for_temporary_files(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_directory() == (shared / "mine" / "ray", None)
    monkeypatch.setenv("RAY_TMPDIR", str(shared / "rays"))
    assert choose_directory() == (shared / "rays" / "ray", None)
    monkeypatch.chdir(shared)
    monkeypatch.setenv("RAY_TMPDIR", "here")
    assert choose_directory() == (shared / "here" / "ray", None)
    assert list(shared.iterdir()) == []


def test_a_path_that_is_too_long_is_replaced_by_a_short_one(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = shared / ("long" * 10) / "ray"
    monkeypatch.setenv("TMPDIR", str(usual.parent))
    directory, reason = choose_directory()
    assert directory == shared / f"ray-{os.geteuid()}"
    assert reason is not None
    assert reason.startswith(f"{usual} has more than")


def test_the_ray_folder_of_another_user_is_left_alone(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shared / "mine" / "ray").mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    directory, reason = choose_directory()
    assert directory == shared / "ray-12345"
    assert reason == f"{shared / 'mine' / 'ray'} belongs to another user"


def test_a_ray_folder_that_is_a_link_to_the_users_own_is_used(shared: Path) -> None:
    (shared / "mine").mkdir()
    (shared / "elsewhere").mkdir()
    (shared / "mine" / "ray").symlink_to(shared / "elsewhere")
    assert choose_directory() == (shared / "mine" / "ray", None)


def test_without_any_directory_each_is_named_with_its_reason(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shared / "mine").mkdir()
    (shared / "mine" / "ray").symlink_to(shared / "gone")
    other = shared / f"ray-{os.geteuid()}"
    other.touch()
    with pytest.raises(SweepError) as caught:
        choose_directory()
    assert str(caught.value) == (
        "Ray cannot start on this machine: it has no directory for its files: "
        f"{shared / 'mine' / 'ray'} is not a directory; {other} is not a directory "
        "(set RAY_TMPDIR to a directory with a short path)"
    )
