"""Libraries that a command must not load before it needs them: each takes seconds to import."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.source_files import MODULES, ROOT, part_of

LIGHT = {
    "sweeps.api",
    "sweeps.cli",
    "sweeps.doctor",
    "sweeps.errors",
    "sweeps.notebook",
    "sweeps.results",
    "sweeps.space",
    "sweeps.spec",
    "sweeps.storage",
    "sweeps.sweep_dir",
    "sweeps.terminal",
    "trainable.config",
    "trainable.features.sharing",
    "trainable.preflight.background",
    "trainable.preflight.checks",
    "trainable.preflight.images",
    "trainable.storage.mirror",
    "trainable.storage.object_store",
    "trainable.storage.scratch",
}
"""Parts that load without torch, Ray and Optuna, so that commands start quickly."""

PYTHON_API = "from sweeps import Search, errors, load_sweep, loguniform, run_sweep"
SEARCH_FILE = """\
from sweeps.spec.load import load_search
load_search("configs/search.yaml")
"""
HELP = """\
for verb in [None, *main.commands]:
    main([*filter(None, [verb]), "--help"], standalone_mode=False)
"""
COMPLETION = """\
from click.shell_completion import ShellComplete
completion = ShellComplete(main, {}, "sweep", "_SWEEP_COMPLETE")
assert completion.get_completions([], "res")
assert completion.get_completions(["resume"], "--num")
"""
HEAVY = {"torch", "torchvision", "ray", "optuna", "pandas", "dash"}
LIGHT_MODULES = [name for name in MODULES if part_of(name) in LIGHT or name in LIGHT]

STEPS = {
    "import sweeps": ("import sweeps", {*HEAVY, "pydantic", "rich"}),
    "the Python API": (PYTHON_API, HEAVY),
    "a search file": (SEARCH_FILE, HEAVY),
    "the command line": ("from sweeps.cli.main import main", {*HEAVY, "scipy", "tensorboard"}),
    "help": (HELP, HEAVY),
    "completion": (COMPLETION, HEAVY),
    "light modules": ("\n".join(f"import {name}" for name in LIGHT_MODULES), HEAVY),
    "the start of a sweep": (  # Tune is imported while Ray starts
        "import sweeps.execution.launch",
        {"torch", "torchvision", "sklearn", "tensorboard", "ray.tune", "pandas"},
    ),
}
"""Step of one process -> its code, and the libraries that are not loaded after it."""

PROGRAM = """\
import contextlib, io, json, sys
loaded, names = {}, {}
for step, code in json.load(sys.stdin).items():
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code, names)
    loaded[step] = [*sys.modules]
print(json.dumps(loaded))
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    """Steps -> the modules that are loaded after it, in one process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        input=json.dumps({step: code for step, (code, _) in STEPS.items()}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    modules: dict[str, list[str]] = json.loads(done.stdout)
    return modules


@pytest.mark.parametrize("step", STEPS)
def test_no_library_is_loaded_before_it_is_needed(step: str, loaded: dict[str, list[str]]) -> None:
    assert STEPS[step][1] & set(loaded[step]) == set()


def test_every_light_part_has_modules() -> None:
    assert {part_of(name) for name in LIGHT_MODULES} | set(LIGHT_MODULES) >= LIGHT


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
