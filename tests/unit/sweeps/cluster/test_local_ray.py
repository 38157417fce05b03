"""A Ray on this machine: what it is started with, and what a failed start says."""

import os
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private import ray_constants

from sweeps.cluster import local_ray
from sweeps.cluster.local_ray import CONTROL_WAIT, end_local, start_local
from sweeps.cluster.ray_process import RayStartError
from sweeps.sweep_dir.errors import SweepError

ROOT = str(Path(__file__).parents[4])
OPTIONS = {"log_to_driver": False}


class Starts:
    """Stands for the processes of Ray: records each start, which fails with the next error."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.parameters: list[dict[str, Any]] = []
        self.environments: list[dict[str, str]] = []
        self.ended = 0

    def __call__(self, parameters: dict[str, Any]) -> "Starts":
        self.parameters.append(parameters)
        self.environments.append(dict(os.environ))
        if self.errors:
            raise self.errors.pop(0)
        return self

    address = "127.0.0.1:1"

    def end(self) -> None:
        self.ended += 1


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Starts:
    starts = Starts()
    monkeypatch.setattr(local_ray, "RayProcess", starts)
    monkeypatch.setattr(local_ray, "_processes", [])
    monkeypatch.setattr(ray, "init", lambda **options: None)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(local_ray, "set_own_token", lambda: None)
    monkeypatch.setattr(local_ray, "remove_own_token", lambda: None)
    monkeypatch.setattr(local_ray, "choose_directory", lambda: (Path("/tmp/ray"), None))
    for name in ("PYTHONPATH", CONTROL_WAIT):
        monkeypatch.setenv(name, "to be restored")
        monkeypatch.delenv(name)
    return starts


def test_ray_has_no_dashboard_and_listens_on_this_machine_only(starts: Starts) -> None:
    start_local(OPTIONS)
    (parameters,) = starts.parameters
    assert parameters["include_dashboard"] is False
    assert parameters["include_log_monitor"] is False
    assert parameters["object_store_memory"] is None
    assert parameters["temp_dir"] == "/tmp/ray"
    variable = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    assert starts.environments[0][variable] == "0"
    assert variable not in os.environ


def test_another_directory_than_the_usual_one_is_told(
    starts: Starts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    choice = (Path("/tmp/ray-0"), "/long/ray is too long")
    monkeypatch.setattr(local_ray, "choose_directory", lambda: choice)
    start_local(OPTIONS)
    assert starts.parameters[0]["temp_dir"] == "/tmp/ray-0"
    note = "note: Ray's own files are in /tmp/ray-0: /long/ray is too long"
    assert note in capsys.readouterr().out


def test_a_start_that_timed_out_is_tried_once_more_with_a_longer_limit(
    starts: Starts, capsys: pytest.CaptureFixture[str]
) -> None:
    starts.errors = [RayStartError("Timed out waiting for file /tmp/ray/port")]
    start_local(OPTIONS)
    assert [env.get(CONTROL_WAIT) for env in starts.environments] == [None, "120"]
    assert CONTROL_WAIT not in os.environ
    assert "did not start in time; starting it once more" in capsys.readouterr().out


def test_a_ray_that_times_out_twice_is_a_message_of_one_line(starts: Starts) -> None:
    starts.errors = [RayStartError("The current node timed out\n during startup.")] * 2
    with pytest.raises(SweepError) as caught:
        start_local(OPTIONS)
    assert str(caught.value) == (
        "Ray could not start on this machine: it did not start in time, twice: is the machine too "
        "busy, or a limit too low? The current node timed out during startup. "
        "(its logs: /tmp/ray/session_latest/logs; --verbose prints its own messages)"
    )


def test_another_failure_is_not_tried_again(starts: Starts) -> None:
    starts.errors = [RayStartError("exit code -9")]
    with pytest.raises(SweepError, match="could not start on this machine: exit code -9 "):
        start_local(OPTIONS)
    assert len(starts.parameters) == 1


def test_a_ray_that_cannot_be_joined_is_ended(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**options: Any) -> None:
        raise ConnectionError("x" * 1000)

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(SweepError, match=r"machine: x{300} \.\.\. \(its logs"):
        start_local(OPTIONS)
    assert starts.ended == 1
    end_local()
    assert starts.ended == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [("", [ROOT]), ("/mine", [ROOT, "/mine"]), (f"/mine:{ROOT}", ["/mine", ROOT])],
)
def test_workers_import_the_packages_without_an_installation(
    before: str, after: list[str], starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", before)
    start_local(OPTIONS)
    assert os.environ["PYTHONPATH"].split(os.pathsep) == after
