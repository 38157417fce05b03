"""Libraries that a command must not load before it needs them: each takes seconds to import."""

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
        (
            "sweeps.execution.launch",  # Tune is imported while Ray starts
            {"torch", "torchvision", "sklearn", "tensorboard", "ray.tune", "pandas"},
        ),
    ],
)
def test_a_module_loads_no_library_that_it_does_not_need_yet(module: str, heavy: set[str]) -> None:
    script = f"import sys; import {module}; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert heavy & set(done.stdout.split()) == set()


@pytest.mark.slow
def test_a_training_of_digits_loads_no_library_that_it_does_not_need(
    tmp_path: Path, project_environment: dict[str, str]
) -> None:
    """Each would lengthen the start of every worker; torch's compiler takes about two seconds."""
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
    assert loaded & {"sklearn", "scipy", "pandas", "torchvision", "torch._dynamo"} == set()
    assert not [name for name in loaded if name.startswith("trainable.models.vgg")]
