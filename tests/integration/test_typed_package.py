"""A user's script is checked against the types of this package, not against `Any`."""

from __future__ import annotations

import re
from pathlib import Path

import mypy.api
import pytest

# mypy reads torch, Ray and pandas too: about a minute of computing.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

IMPORTS = """\
import torch

from sweeps import Search, Trial, choice, errors, load_sweep, loguniform, run_sweep
from trainable.config import load_config
from trainable.models import get_model

config = load_config("training.yaml")
sweep = run_sweep("search.yaml", set={"tune.num_samples": 4})
trial = sweep.best
search = Search(
    config="training.yaml",
    space={"optimizer.learning_rate": loguniform(1e-4, 1e-1), "training.batch_size": choice([32])},
    tune={"metric": "val_acc", "num_samples": 4},
)


def log(trial: Trial) -> None:
    print(trial.id, trial.score)


search.run(on_trial_end=log)
"""
TYPES = {
    "config": "trainable.config.TrainConfig",
    "config.optimizer.learning_rate": "float",
    "config.dataset.root": "str",
    "get_model(config)": "torch.nn.modules.module.Module",
    "sweep": "sweeps.api.sweep.Sweep",
    "load_sweep('experiments/a')": "sweeps.api.sweep.Sweep",
    "sweep.resume()": "sweeps.api.sweep.Sweep",
    "sweep.trials": "pandas.core.frame.DataFrame",
    "sweep.curves": "pandas.core.frame.DataFrame",
    "sweep.started": "datetime.datetime",
    "sweep.model()": "torch.nn.modules.module.Module",
    "sweep.predict('photos')": "pandas.core.frame.DataFrame",
    "[each for each in sweep]": "list[sweeps.api.trial.Trial]",
    "trial": "sweeps.api.trial.Trial",
    "trial.score": "float | None",
    "trial.checkpoint": "pathlib.Path",
    "trial.config": "trainable.config.TrainConfig",
    "trial.started": "datetime.datetime | None",
    "errors.SweepError('')": "sweeps.sweep_dir.errors.SweepError",
}
"""Expression -> its type, as mypy writes it."""


def test_mypy_knows_the_types_of_a_users_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # outside of the clone, mypy reads the installed package
    first = len(IMPORTS.splitlines()) + 1
    script = IMPORTS + "".join(f"reveal_type({expression})\n" for expression in TYPES)
    Path("script.py").write_text(script, encoding="utf-8")
    Path("mypy.ini").write_text("[mypy]\nstrict = true\n", encoding="utf-8")
    output, errors, _ = mypy.api.run(["--no-incremental", "--hide-error-context", "script.py"])
    assert errors == ""
    revealed = re.findall(r'script\.py:(\d+): note: Revealed type is "(.*)"', output)
    lines = {int(line): kind.replace("builtins.", "") for line, kind in revealed}
    assert lines == {first + number: kind for number, kind in enumerate(TYPES.values())}, output
    assert "Success: no issues found" in output
