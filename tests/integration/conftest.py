"""One local Ray for all tests: two CPUs and four logical GPUs, which do not exist.

Trainings have one thread in workers and tests, so that sums are equal to the last bit.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.support.failing_models import MARKS

TESTS = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def ray_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A local Ray with two CPUs and four logical GPUs; workers can import the tests' models."""
    import ray

    from sweeps.cluster.session import ENVIRONMENT

    paths = [str(TESTS.parent), str(TESTS / "support"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    os.environ[MARKS] = str(tmp_path_factory.mktemp("marks"))
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=4,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _system_config={"prestart_worker_first_driver": False},  # trials cannot use such workers
    )
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def _session_for_ray_tests(request: pytest.FixtureRequest) -> None:
    """Gives the Ray session to tests marked `ray`, and removes the marks of earlier failures.

    A model that fails once leaves a mark; the next test's model has to fail again.
    """
    if request.node.get_closest_marker("ray"):
        request.getfixturevalue("ray_session")
        for mark in Path(os.environ[MARKS]).iterdir():
            mark.unlink()
