"""Failures that hit every trial of a sweep alike, and a host without memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.commands import invoke
from tests.integration.sweeping import ONE_AT_A_TIME, search, trials
from trainable.config.yaml_reader import dump_yaml

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def write_search(directory: Path, model: str, **more: Any) -> Path:
    spec = search(
        directory,
        space={"training.batch_size": {"choice": [128]}},
        config={"model": {"name": model}, "checkpoint": {"save_frequency": 1}},
        resources=ONE_AT_A_TIME,
        **more,
    )
    path = directory / "search.yaml"
    path.write_text(dump_yaml(spec.to_dict()))
    return path


def counted(sweep: Path) -> list[str]:
    lines = (sweep / "events.jsonl").read_text().splitlines()
    return [event["kind"] for event in map(json.loads, lines) if event["kind"] != "add"]


@pytest.mark.long  # tests/unit/sweeps/trials/test_failing_alike.py decides the same without Ray
def test_trials_that_fail_alike_pause_the_sweep_and_a_resume_counts_anew(tmp_path: Path) -> None:
    path = write_search(
        tmp_path,
        "failing_models:always_raises",
        tune={"num_samples": 5},
        failure={"stop_after": 2, "max_retries": 0},
    )
    sweep = tmp_path / "sweep"
    result = invoke("run", path, "--allow-custom-model")
    assert result.exit_code == 3
    first, _ = trials(sweep)
    assert f"failed alike, before their first epoch (failure.stop_after: 2): {first.id}, " in (
        result.stdout
    )
    assert "error: failing_models.forward: RuntimeError: no such luck" in result.stdout
    assert result.stdout.count('      raise RuntimeError("no such luck")\n') == 1  # one traceback
    assert json.loads((sweep / "sweep.json").read_text())["reason"] == "failing"
    assert counted(sweep) == ["error", "error"]
    assert invoke("resume", sweep, "--allow-custom-model").exit_code == 3
    assert counted(sweep) == ["error", "error", "restart", "error", "error"]
    # The last one is alone: nothing is left to pause for.
    assert invoke("resume", sweep, "--allow-custom-model").exit_code == 1
    assert {record.state for record in trials(sweep)} == {"failed"}


@pytest.mark.long  # measures the memory of the whole machine, which must do nothing else
def test_a_host_out_of_memory_runs_the_trial_alone_then_with_half_batches(tmp_path: Path) -> None:
    path = write_search(tmp_path, "failing_models:hoards", tune={"num_samples": 1})
    lines = Path("/proc/meminfo").read_text().splitlines()
    kib = {name: int(value.split()[0]) for name, value in (line.split(":") for line in lines)}
    limit = 1 - (kib["MemAvailable"] - 1.5 * 2**20) / kib["MemTotal"]
    environment = {
        **os.environ,
        "RAY_memory_usage_threshold": f"{limit:.3f}",
        "RAY_memory_monitor_refresh_ms": "100",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "support"), str(ROOT)]),
    }
    command = [sys.executable, "-m", "sweeps.cli", "run", str(path), "--allow-custom-model"]
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (result.returncode, "Traceback" in result.stderr) == (0, False), result.stderr
    (record,) = trials(tmp_path / "sweep")
    assert [failure.cause for failure in record.failures] == ["oom", "oom"]
    assert record.changes == {"training.accumulation_steps": 2}
