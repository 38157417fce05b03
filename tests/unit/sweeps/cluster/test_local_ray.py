"""A Ray on this machine: what it is started with, and what a failed start says."""

import os
from pathlib import Path
from typing import Any

import pytest
import ray

from sweeps.cluster.local_ray import start_local
from sweeps.sweep_dir.errors import SweepError

ROOT = str(Path(__file__).parents[4])


@pytest.fixture
def init_calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Arguments of each `ray.init`, which is not run; the environment is restored."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(ray, "init", lambda **options: calls.append(options))
    monkeypatch.setenv("PYTHONPATH", "to be restored")
    monkeypatch.delenv("PYTHONPATH")
    return calls


def test_a_ray_that_does_not_start_is_a_message_of_one_line(
    init_calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**options: Any) -> None:
        raise Exception("The current node timed out\n during startup.")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(SweepError) as caught:
        start_local({})
    assert str(caught.value) == (
        "Ray could not start on this machine: The current node timed out during startup. If the "
        "machine is busy, try again; --verbose prints Ray's own messages"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [("", [ROOT]), ("/mine", [ROOT, "/mine"]), (f"/mine:{ROOT}", ["/mine", ROOT])],
)
def test_workers_import_the_packages_without_an_installation(
    before: str,
    after: list[str],
    init_calls: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", before)
    start_local({})
    assert os.environ["PYTHONPATH"].split(os.pathsep) == after
