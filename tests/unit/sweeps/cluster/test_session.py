"""Starting and joining Ray, and the resources of trials on simulated clusters."""

import json
import logging
import os
import socket
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private import services
from ray._private.ray_logging import LogDeduplicator

from sweeps.cluster import session
from sweeps.cluster.session import (
    ENVIRONMENT,
    WORKER_ENVIRONMENT,
    RayConnection,
    count_slots,
    start_ray,
    trial_share,
)
from sweeps.spec.settings import Resources
from sweeps.sweep_dir.errors import SweepError
from sweeps.terminal.console import enable_ray_output

SKIP = "RAY_DEDUP_LOGS_SKIP_REGEX"
JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the cluster's machines, each as (CPUs, GPUs); one more machine has died."""

    def set_up(*sizes: tuple[float, float]) -> None:
        nodes = [{"Alive": False, "Resources": {"CPU": 512.0, "GPU": 64.0}}]
        for cpus, gpus in sizes:
            resources = {"CPU": cpus, "memory": 1e9} | ({"GPU": gpus} if gpus else {})
            nodes.append({"Alive": True, "Resources": resources})
        monkeypatch.setattr(ray, "nodes", lambda: nodes)

    return set_up


def test_workers_of_a_cluster_look_for_weights_where_the_driver_does(
    init_calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", "/shared/hub")
    monkeypatch.setenv("TORCH_HOME", "/shared/torch")
    start_ray(RayConnection("auto"))
    variables = init_calls[0]["runtime_env"]["env_vars"]
    assert (variables["HF_HUB_CACHE"], variables["TORCH_HOME"]) == ("/shared/hub", "/shared/torch")


@pytest.mark.parametrize(
    ("cluster", "share", "slots"),
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
def test_slots_are_the_trials_that_fit_on_machines_and_gpus(
    cluster: list[tuple[float, float]],
    share: tuple[float, float],
    slots: int,
    machines: Callable[..., None],
) -> None:
    machines(*cluster)
    assert count_slots({"cpu": share[0], "gpu": share[1]}) == slots


def test_a_trial_has_the_resources_of_the_search_file(machines: Callable[..., None]) -> None:
    machines((4, 1))
    assert trial_share(Resources(cpu=2, gpu=0.25)) == ({"cpu": 2.0, "gpu": 0.25}, None)


def test_without_gpus_trials_train_on_the_cpu_with_a_notice(
    machines: Callable[..., None],
) -> None:
    machines((4, 0), (4, 0))
    share, notice = trial_share(Resources(cpu=1, gpu=0.5))
    assert share == {"cpu": 1.0, "gpu": 0.0}
    assert notice == "no GPU in this cluster: resources.gpu 0.5 is taken as 0"


@pytest.mark.parametrize(
    ("cluster", "resources", "message"),
    [
        ([(2, 0)], (64, 0), "resources.cpu: one trial asks for 64, the cluster has 2"),
        ([(2, 0), (2, 0)], (4, 0), "resources.cpu: one trial asks for 4, the cluster has 2"),
        ([(8, 1), (8, 1)], (1, 2), "resources.gpu: one trial asks for 2, the cluster has 1"),
        ([(2, 1), (64, 0)], (8, 1), "asks for 8 CPUs and 1 GPUs, no machine of the cluster has"),
    ],
)
def test_a_trial_larger_than_every_machine_is_refused(
    cluster: list[tuple[float, float]],
    resources: tuple[float, float],
    message: str,
    machines: Callable[..., None],
) -> None:
    machines(*cluster)
    with pytest.raises(SweepError) as caught:
        trial_share(Resources(cpu=resources[0], gpu=resources[1]))
    assert message in str(caught.value)


@pytest.fixture
def init_calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Arguments of each `ray.init` or local start, which are not run; restores the environment."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **options: calls.append(options))
    monkeypatch.setattr(services, "canonicalize_bootstrap_address", lambda address: "head:6379")
    monkeypatch.setattr(socket, "create_connection", lambda *args, **options: nullcontext())
    monkeypatch.setattr(session, "start_local", lambda options: calls.append(options))
    monkeypatch.setattr(session, "show_token", lambda: None)
    monkeypatch.setattr(session, "check_token", lambda head: None)
    for name in (*ENVIRONMENT, "RAY_ADDRESS", "PYTHONPATH", JOB):
        monkeypatch.setenv(name, "to be restored")
        monkeypatch.delenv(name)
    monkeypatch.setattr(logging.getLogger("ray.tune.tune"), "level", logging.WARNING)
    return calls


def test_ray_starts_on_this_machine_with_tune_kept_quiet(init_calls: list[dict[str, Any]]) -> None:
    start_ray()
    (options,) = init_calls
    assert options["log_to_driver"] is False
    assert options["logging_level"] == logging.ERROR
    assert {name: os.environ[name] for name in ENVIRONMENT} == ENVIRONMENT
    # Relative paths of own code hold in trials as in the checks: Tune stays in the directory.
    assert os.environ["RAY_CHDIR_TO_TRIAL_DIR"] == "0"


def test_rays_reports_of_its_nodes_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray prints them from a thread of the driver, whatever `log_to_driver` is."""
    monkeypatch.setenv(SKIP, "to be restored")
    monkeypatch.delenv(SKIP)
    enable_ray_output(False)
    reports = {"lines": ["A worker died or was killed", ""], "pid": "raylet", "is_err": False}
    silent = LogDeduplicator(5, None, os.environ[SKIP])
    assert [batch["lines"] for batch in silent.deduplicate(reports)] == [[]]
    monkeypatch.setenv(SKIP, "only mine")
    enable_ray_output(False)
    assert os.environ[SKIP] == "only mine"


def test_verbose_prints_rays_own_messages(init_calls: list[dict[str, Any]]) -> None:
    enable_ray_output(True)
    try:
        start_ray()
    finally:
        enable_ray_output(False)
    (options,) = init_calls
    assert options["log_to_driver"] is True
    assert options["logging_level"] == logging.INFO


def test_a_cluster_in_the_environment_is_joined_and_the_users_variables_are_kept(
    init_calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    monkeypatch.setenv("TUNE_GLOBAL_CHECKPOINT_S", "5")
    start_ray()
    assert init_calls[0]["address"] == "head:6379"
    assert os.environ["TUNE_GLOBAL_CHECKPOINT_S"] == "5"


def test_an_explicit_address_comes_before_the_environment(
    init_calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    start_ray(RayConnection("auto"))
    assert init_calls[0]["address"] == "auto"


def test_a_cluster_receives_the_code_of_the_project_and_the_users(
    init_calls: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sent: list[set[str]] = []

    def init(**options: Any) -> None:
        code = Path(options["runtime_env"]["working_dir"])
        paths = [path for path in code.rglob("*") if path.is_file()]
        sent.append({path.relative_to(code).as_posix() for path in paths})

    monkeypatch.setattr(ray, "init", init)
    (tmp_path / "mine.py").touch()
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "old.py").touch()
    start_ray(RayConnection("auto"))
    start_ray(RayConnection("auto", (tmp_path,), (tmp_path / "results",)))
    without, with_user = sent
    assert {"sweeps/run.py", "trainable/ray_trial/classifier.py"} < without
    assert with_user - without == {"mine.py"}
    assert "of code to the cluster" in capsys.readouterr().out


def test_a_job_with_a_working_dir_sends_no_code(
    init_calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = {"working_dir": "gcs://code.zip", "env_vars": WORKER_ENVIRONMENT}
    monkeypatch.setenv(JOB, json.dumps({"runtime_env": job}))
    start_ray(RayConnection("head:6379"))
    assert init_calls[0]["runtime_env"] == {
        "env_vars": {}
    }  # Ray refuses keys that the job has set


def test_a_job_without_a_working_dir_sends_the_code(
    init_calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(JOB, json.dumps({"runtime_env": {"env_vars": {"MINE": "1"}}}))
    start_ray(RayConnection("auto"))
    assert init_calls[0]["runtime_env"]["env_vars"] == WORKER_ENVIRONMENT
    assert init_calls[0]["runtime_env"]["working_dir"].endswith("/code")


@pytest.mark.parametrize(
    ("address", "raised", "message"),
    [
        ("http://head:8265", None, "to send the sweep there as a job: sweep submit FILE"),
        ("ray://head:10001", None, "give auto or the head's HOST:PORT"),
        ("head:1", ConnectionError("no\n answer"), "head:1: cannot be joined: no answer"),
        ("auto", RuntimeError("versions differ"), "auto: cannot be joined: versions differ"),
    ],
)
def test_a_failed_join_is_a_message_of_one_line(
    address: str,
    raised: Exception | None,
    message: str,
    init_calls: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def init(**options: Any) -> None:
        assert raised is not None, "ray.init is not called for a URL"
        raise raised

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(SweepError) as caught:
        start_ray(RayConnection(address))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("option", "source"),
    [
        (None, "RAY_ADDRESS=head:1 in the environment"),
        ("auto", "--address auto, which is RAY_ADDRESS=head:1 in the environment"),
    ],
)
def test_an_address_left_over_in_the_environment_is_named_with_its_remedy(
    option: str | None,
    source: str,
    init_calls: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def init(**options: Any) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setenv("RAY_ADDRESS", "head:1")
    with pytest.raises(SweepError) as caught:
        start_ray(RayConnection(option))
    assert str(caught.value) == (
        f"{source}: cannot be joined: Connection refused; "
        "to run the sweep on this machine: unset RAY_ADDRESS"
    )


def test_a_job_server_in_the_environment_is_named_with_its_remedy(
    init_calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    with pytest.raises(SweepError) as caught:
        start_ray()
    message = str(caught.value)
    assert message.startswith("RAY_ADDRESS=http://head:8265 in the environment: give auto or")
    assert message.endswith("; to run the sweep on this machine: unset RAY_ADDRESS")


def test_an_address_without_a_listener_fails_fast(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # but does not listen
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(SweepError, match=f"{address}: cannot be joined: Connection refused"):
            start_ray(RayConnection(address))


def test_an_initialized_session_is_used(
    init_calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    start_ray()
    assert init_calls == []
