"""What one trial takes of a cluster and how many it holds, on made-up machines; how Ray starts."""

import json
import logging
import os
import socket
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private import services

from sweeps.cluster.session import (
    ENVIRONMENT,
    WORKER_ENVIRONMENT,
    Joining,
    slots,
    start_ray,
    trial_share,
)
from sweeps.spec.settings import Resources
from sweeps.sweep_dir.layout import SweepError

JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
ROOT = str(Path(__file__).parents[4])


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the cluster one of these machines, each CPUs and cards; and of one that has died."""

    def set_up(*found: tuple[float, float]) -> None:
        nodes = [{"Alive": False, "Resources": {"CPU": 512.0, "GPU": 64.0}}]
        for cpus, cards in found:
            resources = {"CPU": cpus, "memory": 1e9} | ({"GPU": cards} if cards else {})
            nodes.append({"Alive": True, "Resources": resources})
        monkeypatch.setattr(ray, "nodes", lambda: nodes)

    return set_up


@pytest.mark.parametrize(
    ("cluster", "share", "held"),
    [
        ([(8, 0)], (1, 0), 8),
        ([(8, 0)], (3, 0), 2),
        ([(2, 0)], (0.1, 0), 20),
        ([(16, 2)], (1, 0.25), 8),
        ([(16, 2)], (1, 0.3), 6),
        ([(16, 2)], (1, 0.6), 2),
        ([(16, 4)], (1, 1), 4),
        ([(16, 5)], (1, 2), 2),
        ([(2, 4)], (1, 0.5), 2),
        ([(3, 0), (3, 0)], (2, 0), 2),
        ([(4, 1), (64, 0)], (1, 0.5), 2),
    ],
)
def test_as_many_trials_at_once_as_fit_whole_on_machines_and_cards(
    cluster: list[tuple[float, float]],
    share: tuple[float, float],
    held: int,
    machines: Callable[..., None],
) -> None:
    machines(*cluster)
    assert slots({"cpu": share[0], "gpu": share[1]}) == held


def test_a_trial_takes_what_the_search_file_says(machines: Callable[..., None]) -> None:
    machines((4, 1))
    assert trial_share(Resources(cpu=2, gpu=0.25)) == ({"cpu": 2.0, "gpu": 0.25}, None)


def test_without_any_card_trials_train_on_the_cpu_and_it_is_said(
    machines: Callable[..., None],
) -> None:
    machines((4, 0), (4, 0))
    share, notice = trial_share(Resources(cpu=1, gpu=0.5))
    assert share == {"cpu": 1.0, "gpu": 0.0}
    assert notice == "no GPU in this cluster: resources.gpu 0.5 is taken as 0"


@pytest.mark.parametrize(
    ("cluster", "wanted", "message"),
    [
        ([(2, 0)], (64, 0), "resources.cpu: one trial asks for 64, the cluster has 2"),
        ([(2, 0), (2, 0)], (4, 0), "resources.cpu: one trial asks for 4, the cluster has 2"),
        ([(8, 1), (8, 1)], (1, 2), "resources.gpu: one trial asks for 2, the cluster has 1"),
        ([(2, 1), (64, 0)], (8, 1), "asks for 8 CPUs and 1 GPUs, no machine of the cluster has"),
    ],
)
def test_what_no_machine_can_ever_hold_is_refused(
    cluster: list[tuple[float, float]],
    wanted: tuple[float, float],
    message: str,
    machines: Callable[..., None],
) -> None:
    machines(*cluster)
    with pytest.raises(SweepError) as caught:
        trial_share(Resources(cpu=wanted[0], gpu=wanted[1]))
    assert message in str(caught.value)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What Ray was started with; none is really started, and the environment is put back."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **options: calls.append(options))
    monkeypatch.setattr(services, "canonicalize_bootstrap_address", lambda address: "head:6379")
    monkeypatch.setattr(socket, "create_connection", lambda *args, **options: nullcontext())
    for name in (*ENVIRONMENT, "RAY_ADDRESS", "PYTHONPATH", JOB):
        monkeypatch.setenv(name, "to be put back")
        monkeypatch.delenv(name)
    monkeypatch.setattr(logging.getLogger("ray.tune.tune"), "level", logging.WARNING)
    return calls


def test_ray_starts_on_this_machine_with_tune_kept_quiet(started: list[dict[str, Any]]) -> None:
    start_ray()
    (options,) = started
    assert options["address"] == "local"
    assert options["include_dashboard"] is False
    assert {name: os.environ[name] for name in ENVIRONMENT} == ENVIRONMENT


def test_a_cluster_that_is_named_is_joined_and_what_the_user_set_stays(
    started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    monkeypatch.setenv("TUNE_GLOBAL_CHECKPOINT_S", "5")
    start_ray()
    assert started[0]["address"] == "head:6379"
    assert os.environ["TUNE_GLOBAL_CHECKPOINT_S"] == "5"


def test_the_address_that_is_given_comes_before_the_environments(
    started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    start_ray(Joining("auto"))
    assert started[0]["address"] == "auto"


def test_a_cluster_is_sent_our_code_and_the_users(
    started: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[set[str]] = []

    def init(**options: Any) -> None:
        with zipfile.ZipFile(options["runtime_env"]["working_dir"]) as archive:
            seen.append(set(archive.namelist()))

    monkeypatch.setattr(ray, "init", init)
    (tmp_path / "mine.py").touch()
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "old.py").touch()
    start_ray(Joining("auto"))
    start_ray(Joining("auto", tmp_path, (tmp_path / "results",)))
    without, with_user = seen
    assert {"sweeps/run.py", "trainable/ray_trial/classifier.py"} < without
    assert with_user - without == {"mine.py"}
    assert "of code to the cluster" in capsys.readouterr().out


def test_a_job_that_came_with_its_code_sends_none(
    started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {"working_dir": "gcs://code.zip", "env_vars": WORKER_ENVIRONMENT}
    monkeypatch.setenv(JOB, json.dumps({"runtime_env": there}))
    start_ray(Joining("head:6379"))
    assert started[0]["runtime_env"] == {"env_vars": {}}  # Ray refuses what is said twice


def test_a_job_that_came_without_code_sends_it(
    started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(JOB, json.dumps({"runtime_env": {"env_vars": {"MINE": "1"}}}))
    start_ray(Joining("auto"))
    assert started[0]["runtime_env"]["env_vars"] == WORKER_ENVIRONMENT
    assert started[0]["runtime_env"]["working_dir"].endswith(".zip")


@pytest.mark.parametrize(
    ("address", "raised", "message"),
    [
        ("http://head:8265", None, "to send the sweep there as a job: sweep submit FILE"),
        ("ray://head:10001", None, "give auto or the head's HOST:PORT"),
        ("head:1", ConnectionError("no\n answer"), "head:1: cannot be joined: no answer"),
        ("auto", RuntimeError("versions differ"), "auto: cannot be joined: versions differ"),
    ],
)
def test_an_address_that_cannot_be_joined_is_one_sentence(
    address: str,
    raised: Exception | None,
    message: str,
    started: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def init(**options: Any) -> None:
        assert raised is not None, "Ray is not asked at all"
        raise raised

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(SweepError) as caught:
        start_ray(Joining(address))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_an_address_where_nobody_listens_is_not_tried_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SweepError, match=f"{address}: cannot be joined: .*refused"):
            start_ray(Joining(address))


@pytest.mark.parametrize(
    ("before", "after"),
    [("", [ROOT]), ("/mine", [ROOT, "/mine"]), (f"/mine:{ROOT}", ["/mine", ROOT])],
)
def test_workers_find_the_packages_without_an_installation(
    before: str, after: list[str], started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", before)
    start_ray()
    assert os.environ["PYTHONPATH"].split(os.pathsep) == after


def test_a_session_that_is_there_is_used_as_it_is(
    started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    start_ray()
    assert started == []
