"""What a command loads before it can begin: each of these takes seconds on a busy machine."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("sweeps.cli", {"torch", "ray", "optuna", "scipy", "pandas", "tensorboard"}),
        ("sweeps.launch", {"torch", "torchvision", "sklearn", "tensorboard"}),
    ],
)
def test_nothing_is_loaded_that_is_not_needed_yet(module: str, heavy: set[str]) -> None:
    script = f"import sys; import {module}; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert heavy & set(done.stdout.split()) == set()
