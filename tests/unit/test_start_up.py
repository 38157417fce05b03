"""What a command loads before it can begin: each of these takes seconds on a busy machine."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("sweeps.cli.main", {"torch", "ray", "optuna", "scipy", "pandas", "tensorboard"}),
        ("sweeps.execution.launch", {"torch", "torchvision", "sklearn", "tensorboard"}),
    ],
)
def test_nothing_is_loaded_that_is_not_needed_yet(module: str, heavy: set[str]) -> None:
    script = f"import sys; import {module}; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert heavy & set(done.stdout.split()) == set()


def test_a_training_of_digits_loads_neither_torchs_compiler_nor_scikit_learn(
    tmp_path: Path, project_environment: dict[str, str]
) -> None:
    """Each takes as long as all the rest of a worker's start."""
    path = tmp_path / "config.yaml"
    config = {
        "dataset": {"name": "digits"},
        "model": {"name": "resnet20"},
        "training": {"epochs": 1, "batch_size": 512},
        "optimizer": {"name": "adamw", "learning_rate": 0.01},
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    script = (
        "import sys\n"
        "from trainable.config import load_config\n"
        "from trainable.experiment.fit import fit\n"
        "fit(load_config(sys.argv[1]))\n"
        "print(*sorted(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env=project_environment,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "torch" in loaded
    assert loaded & {"torch._dynamo", "torch._inductor", "sklearn", "scipy", "pandas"} == set()
