"""A sweep in object storage on nodes without a shared disk, one of which dies."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sweeps.storage import location
from sweeps.sweep_dir.layout import SweepLayout
from tests.cluster.conftest import TIMEOUT_S, Nodes, command, sweep, wait_for
from tests.cluster.test_nodes import can_unshare, rows
from tests.support.object_store import ENVIRONMENT, object_store

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not can_unshare(), reason="needs mount namespaces"),
]


def test_trials_of_a_dead_node_continue_on_another_from_object_storage(
    nodes: Nodes, project: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"  # for mirrors; the second node has another disk there
    own.mkdir()
    with nodes.add_with_own_disk(own) as node, object_store(tmp_path) as store:
        uri = store.uri("sweeps/sweep")
        option = ("--set", f"config.checkpoint.dir={store.uri('sweeps')}")
        words = ("run", "search.yaml", "--allow-custom-model", "--address", nodes.address, *option)
        driver = subprocess.Popen(
            command(*words),
            cwd=project,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ENVIRONMENT, "TMPDIR": str(own)},
        )

        def epochs() -> list[int]:
            directory = location.resolve(uri)
            if not (directory / "sweep.json").exists():
                return []
            return [len(trial_epochs) for trial_epochs in rows(directory).values()]

        try:
            wait_for(
                lambda: driver.poll() is not None or sum(n >= 5 for n in epochs()) == 3,
            )
            nodes.kill(node)
            (project.parent / "slow").unlink()
            out, _ = driver.communicate(timeout=TIMEOUT_S)
        finally:
            driver.kill()
        assert driver.returncode == 0, out
        directory = location.resolve(uri)
        trials = SweepLayout(directory).read_trials()
        assert [trial.state for trial in trials] == ["finished"] * 3
        assert rows(directory) == {trial.id: list(range(1, 13)) for trial in trials}
        (restored,) = [trial for trial in trials if trial.failures]  # max_retries is 0
        assert [failure.cause for failure in restored.failures] == ["lost_worker"]
        assert restored.failures[0].checkpoint is not None
        for trial in trials:
            names = {path.name for path in (directory / trial.directory / "checkpoints").iterdir()}
            assert names >= {"best.pt", "latest.pt", "epoch_0002.pt", "epoch_0012.pt"}
        assert {path.name for path in directory.iterdir()} >= {
            "best_config.yaml", "report.html", "search.yaml", "sweep.json", "trials.csv",
        }  # fmt: skip
    assert not list(own.rglob("*.pt"))


def test_unusable_object_storage_is_detected_before_the_first_trial(
    nodes: Nodes, project: Path, tmp_path: Path
) -> None:
    with object_store(tmp_path) as store:
        uri = store.uri("sweeps").replace("bucket/", "another/")
        words = ("run", "search.yaml", "--allow-custom-model", "--address", nodes.address)
        done = sweep(*words, "--set", f"config.checkpoint.dir={uri}", cwd=project)
    assert done.returncode == 2
    (sentence,) = [line for line in done.stderr.splitlines() if "another" in line]
    assert "cannot be" in sentence
