"""`run_sweep`: a real sweep from Python, and its result."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sweeps import load_sweep, run_sweep
from tests.integration.sweeping import CONFIG

pytestmark = pytest.mark.ray


def test_a_sweep_runs_from_plain_values(ray_session: Any, tmp_path: Path) -> None:
    search = {
        "name": "sweep",
        "config": {**CONFIG, "checkpoint": {"enabled": True, "dir": str(tmp_path)}},
        "space": {"optimizer.learning_rate": {"loguniform": [0.01, 0.1]}},
        "tune": {
            "num_samples": 2,
            "seed": 1,
            "search_alg": {"name": "tpe", "n_startup_trials": 1},
        },
        "resources": {"cpu": 2},
        "keep": {"min_free_gib": 0},
    }
    run = run_sweep(search, allow_custom_model=True)
    assert run.state == "finished"
    assert len(run.trials) == len(run.grid) == 2
    best = run.grid.get_best_result("best_acc", "max")
    assert best.metrics["trial_id"] == run.best().record.id
    assert Path(best.checkpoint.path).is_dir()
    model = load_sweep(tmp_path / "sweep").model(allow_custom_model=True)
    saved = torch.load(run.checkpoint())["model_state_dict"]
    assert all(torch.equal(saved[key], value) for key, value in model.state_dict().items())
