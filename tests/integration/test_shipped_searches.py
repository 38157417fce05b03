"""The shipped searches over digits run, at a small scale and in full."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sweeps.cli.main import main
from sweeps.spec.load import load_search
from sweeps.sweep_dir.layout import SweepLayout

CONFIGS = Path(__file__).parents[2] / "configs"
DIGITS = [CONFIGS / "search.yaml", *sorted((CONFIGS / "searches").glob("digits_*.yaml"))]

SMALL = [
    "config.model.name=tiny_models:mlp", "config.tensorboard.enabled=false", "resources.cpu=2",
]  # fmt: skip
"""A tiny model instead of a ResNet with epochs of a second, and one worker instead of two."""

CHANGES = {
    "search": ["tune.num_samples=2", "config.training.epochs=3"],
    "digits_pbt": ["tune.num_samples=2", "config.training.epochs=4"],
    "digits_tpe": [
        "tune.num_samples=2", "config.training.epochs=3", "tune.search_alg.n_startup_trials=1",
    ],
    "digits_grid": [
        "space.optimizer.learning_rate.grid=[0.1]", "space.training.batch_size.grid=[128]",
        "config.training.epochs=2",
    ],
}  # fmt: skip


def read_table(directory: Path) -> list[dict[str, str]]:
    with (directory / "trials.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_search_over_digits_is_covered() -> None:
    assert {path.stem for path in DIGITS} == set(CHANGES)


@pytest.mark.slow  # other default tests run sweeps of each kind
@pytest.mark.ray
@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=[] if p.stem == "digits_tpe" else pytest.mark.long) for p in DIGITS],
    ids=lambda path: path.stem,
)
def test_a_search_over_digits_runs_at_a_small_scale(path: Path, working_directory: Path) -> None:
    options = [word for text in [*SMALL, *CHANGES[path.stem]] for word in ("--set", text)]
    done = CliRunner().invoke(main, ["run", str(path), *options, "--allow-custom-model"])
    assert done.exit_code == 0, done.output
    directory = working_directory / "experiments" / load_search(path).name
    assert SweepLayout(directory).read_sweep().state == "finished"
    assert len(read_table(directory)) == 2
    assert load_search(directory / "search.yaml").training.model.name == "tiny_models:mlp"


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", DIGITS, ids=lambda path: path.stem)
def test_a_search_over_digits_reaches_the_accuracy_that_its_file_states(
    path: Path, working_directory: Path, project_environment: dict[str, str]
) -> None:
    command = [sys.executable, str(CONFIGS.parent / "sweeps" / "run.py"), str(path)]
    done = subprocess.run(
        command, env=project_environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    spec = load_search(path)
    rows = read_table(working_directory / "experiments" / spec.name)
    assert len(rows) == spec.trials
    assert max(float(row["val_acc"]) for row in rows) > 0.97
