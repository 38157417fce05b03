"""`sweep init`, and the command that it prints."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from sweeps.results.loaded_sweep import load
from tests.integration.commands import invoke

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_what_init_prints_runs_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("init", "--data", "digits", "--set", "training.epochs=2")
    assert result.exit_code == 0, result.output
    command = shlex.split(result.stdout.splitlines()[-1].removeprefix("run it: "))
    assert command == ["sweep", "run", "search.yaml"]
    result = invoke(*command[1:], "--set", "tune.num_samples=2", "--set", "resources.cpu=2")
    assert result.exit_code == 0, result.output
    sweep = load(tmp_path / "experiments" / "digits_quick")
    assert [trial.record.state for trial in sweep.results] == ["finished", "finished"]
    assert sweep.best is not None
    assert sweep.best.best is not None
    assert sweep.best.best["val_acc"] > 0.5
