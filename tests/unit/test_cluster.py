"""What one trial takes of a cluster and how many it holds, on made-up machines; how Ray starts."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from sweeps.cluster import ENVIRONMENT, slots, start_ray, trial_share
from sweeps.layout import SweepError
from sweeps.sections import Resources

ROOT = str(Path(__file__).parents[2])


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
    for name in (*ENVIRONMENT, "RAY_ADDRESS", "PYTHONPATH"):
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
