"""A sweep on two nodes: one has another disk, one dies during the sweep."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sweeps.sweep_dir.layout import SweepLayout
from tests.cluster.conftest import TIMEOUT_S, Nodes, command, sweep, wait_for
from trainable.artifacts.metrics import read_rows

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def rows(directory: Path) -> dict[str, list[int]]:
    """Returns trial id -> the epochs in its metrics."""
    trials = SweepLayout(directory).read_trials()
    return {
        trial.id: [
            row["epoch"] for row in read_rows(directory / trial.directory / "metrics.jsonl")
        ]
        for trial in trials
    }


def can_unshare() -> bool:
    if shutil.which("unshare") is None or os.geteuid() != 0:
        return False
    return subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="needs mount namespaces")
def test_a_directory_that_a_node_does_not_share_is_detected_before_the_first_trial(
    nodes: Nodes, project: Path
) -> None:
    shared = project.parent / "shared"
    option = ("--set", f"config.checkpoint.dir={shared / 'of' / 'mine'}")
    with nodes.add_with_own_disk(shared):
        done = sweep(
            "run", "search.yaml", "--allow-custom-model", "--address", nodes.address, *option,
            cwd=project,
        )  # fmt: skip
    assert done.returncode == 2
    (sentence,) = [line for line in done.stderr.splitlines() if "checkpoint.dir" in line]
    assert f"checkpoint.dir {shared}/of/mine is not shared by the cluster's nodes: on " in sentence
    assert "that the driver has just written there is not visible" in sentence
    assert list(shared.iterdir()) == []


def test_trials_of_a_dead_node_continue_on_another_from_their_last_checkpoint(
    nodes: Nodes, project: Path
) -> None:
    directory = project.parent / "shared" / "sweep"
    words = ("run", "search.yaml", "--allow-custom-model", "--address", nodes.address)
    driver = subprocess.Popen(command(*words), cwd=project, stdout=subprocess.PIPE, text=True)
    try:
        wait_for(
            lambda: (
                driver.poll() is not None
                or (directory.exists() and sum(len(e) >= 5 for e in rows(directory).values()) == 2)
            )
        )
        nodes.kill_second()
        (project.parent / "slow").unlink()
        out, _ = driver.communicate(timeout=TIMEOUT_S)
    finally:
        driver.kill()
    assert driver.returncode == 0, out
    trials = SweepLayout(directory).read_trials()
    assert [trial.state for trial in trials] == ["finished"] * 3
    assert rows(directory) == {trial.id: list(range(1, 13)) for trial in trials}
    (restored,) = [trial for trial in trials if trial.failures]  # max_retries is 0
    (failure,) = restored.failures
    assert failure.cause == "lost_worker"
    assert failure.checkpoint is not None
    for trial in trials:
        names = {path.name for path in (directory / trial.directory / "checkpoints").iterdir()}
        assert names >= {"best.pt", "latest.pt", "epoch_0002.pt", "epoch_0012.pt"}
    assert {path.name for path in directory.iterdir()} >= {
        "best_config.yaml", "report.html", "search.yaml", "sweep.json", "trials.csv",
    }  # fmt: skip
    seen = set((project.parent / "seen").read_text().splitlines())
    assert all("_ray_pkg_" in path for path in seen)  # the uploaded code, not an installation
