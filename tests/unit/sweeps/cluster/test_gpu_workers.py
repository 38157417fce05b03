"""Workers that trials share: how many there are, what they hold and what their trials reserve."""

from types import SimpleNamespace
from typing import Any

import pytest
import ray

from sweeps.cluster.gpu_workers import CLIENT_GPU, GpuWorkerPool
from trainable.trial_settings import WORKERS

ON_GPU, ON_CPU = {"cpu": 1.0, "gpu": 0.25}, {"cpu": 2.0, "gpu": 0.0}


class FakeRay:
    """Records the workers that are started and killed."""

    def __init__(self) -> None:
        self.started: list[SimpleNamespace] = []
        self.killed: list[Any] = []
        self.closed: list[tuple[int, str]] = []

    def remote(self, worker: type) -> Any:
        def start(options: dict[str, Any], capacity: int, threads: int) -> SimpleNamespace:
            number = len(self.started)
            close = SimpleNamespace(remote=lambda trial: self.closed.append((number, trial)))
            actor = SimpleNamespace(
                options=options, capacity=capacity, threads=threads, close=close
            )
            self.started.append(actor)
            return actor

        return SimpleNamespace(
            options=lambda **options: SimpleNamespace(
                remote=lambda *arguments: start(options, *arguments)
            )
        )


@pytest.fixture
def fake_ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setattr(ray, "remote", fake.remote)
    monkeypatch.setattr(ray, "kill", fake.killed.append)
    return fake


def capacities(
    fake: FakeRay, share: dict[str, float], machines: list[dict[str, float]], trials: int
) -> list[int]:
    with GpuWorkerPool(share, machines, trials).running():
        return [worker.capacity for worker in fake.started]


@pytest.mark.parametrize(
    ("share", "machines", "trials", "expected"),
    [
        (ON_GPU, [{"CPU": 16.0, "GPU": 2.0}], 8, [4, 4]),
        (ON_GPU, [{"CPU": 16.0, "GPU": 2.0}], 5, [3, 2]),
        (ON_GPU, [{"CPU": 16.0, "GPU": 2.0}], 1, [1]),
        (ON_GPU, [{"CPU": 3.0, "GPU": 2.0}], 8, [2, 1]),
        (ON_GPU, [{"CPU": 16.0, "GPU": 1.0}, {"CPU": 2.0, "GPU": 1.0}], 8, [4, 2]),
        (ON_GPU, [{"CPU": 16.0, "GPU": 1.0}, {"CPU": 64.0}], 8, [4]),
        (ON_CPU, [{"CPU": 8.0}, {"CPU": 4.0}], 16, [4, 2]),
    ],
)
def test_concurrent_trials_are_divided_among_one_worker_per_gpu_or_machine(
    fake_ray: FakeRay,
    share: dict[str, float],
    machines: list[dict[str, float]],
    trials: int,
    expected: list[int],
) -> None:
    assert capacities(fake_ray, share, machines, trials) == expected


def test_a_worker_and_its_trials_hold_exactly_one_gpu(fake_ray: FakeRay) -> None:
    pool = GpuWorkerPool(ON_GPU, [{"CPU": 16.0, "GPU": 1.0}], 4)
    assert pool.reservation.share == {"cpu": 1.0, "gpu": CLIENT_GPU}
    with pool.running():
        (worker,) = fake_ray.started
    assert worker.options["num_gpus"] + 4 * CLIENT_GPU == pytest.approx(1)
    assert worker.options["num_cpus"] == 0  # its trials reserve them
    assert worker.options["max_concurrency"] > 4


def test_trials_know_the_names_of_the_workers_and_their_whole_gpu(fake_ray: FakeRay) -> None:
    pool = GpuWorkerPool(ON_GPU, [{"CPU": 16.0, "GPU": 2.0}], 8)
    with pool.running():
        names = [worker.options["name"] for worker in fake_ray.started]
    assert pool.settings == {WORKERS: names, "gpu": 1.0}
    assert len(set(names)) == 2


def test_without_gpus_neither_workers_nor_trials_reserve_one(fake_ray: FakeRay) -> None:
    pool = GpuWorkerPool(ON_CPU, [{"CPU": 4.0}], 4)
    with pool.running():
        (worker,) = fake_ray.started
    assert (worker.options["num_gpus"], worker.threads) == (0, 2)
    assert pool.reservation.share == ON_CPU
    assert pool.settings["gpu"] == 0.0


def test_workers_end_with_the_sweep_even_if_it_fails(fake_ray: FakeRay) -> None:
    def fail() -> None:
        with GpuWorkerPool(ON_GPU, [{"CPU": 16.0, "GPU": 2.0}], 8).running():
            assert fake_ray.killed == []
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(fake_ray.started) == 2
    assert fake_ray.killed == fake_ray.started


def test_a_failed_trial_is_closed_in_every_worker(fake_ray: FakeRay) -> None:
    pool = GpuWorkerPool(ON_GPU, [{"CPU": 16.0, "GPU": 2.0}], 8)
    with pool.running():
        pool.release("a1")
    assert fake_ray.closed == [(0, "a1"), (1, "a1")]
