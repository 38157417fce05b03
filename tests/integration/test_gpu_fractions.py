"""Trials that need a fraction of a GPU use all GPUs. Ray's GPUs are logical here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from sweeps.execution.resume import open_for_resume
from tests.integration.sweeping import search, start

pytestmark = pytest.mark.ray


def gpus(directory: Path) -> list[str]:
    """Returns the GPU of every start of a trial, from its log."""
    return re.findall(r"^--- .*, GPU (\S+)$", (directory / "trial.log").read_text(), re.MULTILINE)


@pytest.mark.slow
def test_four_quarters_run_on_four_gpus_and_a_dead_workers_gpu_is_free_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = start(
        search(
            tmp_path,
            space={"optimizer.learning_rate": {"loguniform": [0.01, 0.1]}},
            tune={"num_samples": 4},
            config={"model": {"name": "meeting_models:four"}, "training": {"epochs": 1}},
            resources={"cpu": 0.25, "gpu": 0.25},
        )
    )
    assert [result.record.state for result in outcome.results] == ["finished"] * 4
    output = capsys.readouterr().out
    assert "4 trials, 4 concurrent" in output
    assert output.count("no CUDA device in the workers: trials train on the CPU") == 1
    assert {result.last["device"] for result in outcome.results if result.last} == {"cpu"}
    used = {result.record.id: gpus(result.directory) for result in outcome.results}
    assert sorted(first for first, *_ in used.values()) == ["0", "1", "2", "3"]
    (dead,) = [result.record for result in outcome.results if result.record.failures]
    assert dead.failures[0].cause == "lost_worker"
    assert used[dead.id][1:] == used[dead.id][:1]  # the other three were in use all the time


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(torch.cuda.is_available(), reason="torch finds a GPU")
def test_auto_is_measured_in_the_cluster_and_a_resume_keeps_its_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = start(
        search(
            tmp_path,
            space={"optimizer.learning_rate": {"loguniform": [0.01, 0.1]}},
            tune={"num_samples": 1},
            config={"training": {"epochs": 1}},
            resources={"gpu": "auto"},
        )
    )
    output = capsys.readouterr().out
    assert "resources.gpu auto: measuring how many trials can share a GPU" in output
    assert "note: resources.gpu auto is 0: torch finds no CUDA device" in output
    assert [result.record.state for result in outcome.results] == ["finished"]
    with open_for_resume(outcome.directory) as (spec, _):
        assert spec.resources.gpu == 0
