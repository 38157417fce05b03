"""The config files that come with the project are good, and say how they are run."""

from pathlib import Path

import pytest

from sweeps.spec import load_search
from trainable.config import load_config

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))
SEARCHES = [CONFIGS / "search.yaml", *sorted((CONFIGS / "searches").rglob("*.yaml"))]
TRAININGS = [path for path in FILES if path not in SEARCHES]


def name(path: Path) -> str:
    return path.relative_to(CONFIGS.parent).as_posix()


def test_no_config_is_left_out_here() -> None:
    assert (len(TRAININGS), len(SEARCHES)) == (3, 5)
    assert len(FILES) == len([path for path in CONFIGS.rglob("*") if path.is_file()])


@pytest.mark.parametrize("path", TRAININGS, ids=name)
def test_a_training_config_is_good_and_keeps_its_best_model(path: Path) -> None:
    config = load_config(path)
    assert config.checkpoint.enabled
    assert config.checkpoint.save_best
    assert config.dataset.val_split, "a sweep over it would select on the test set"


@pytest.mark.parametrize("path", SEARCHES, ids=name)
def test_a_search_file_is_good_and_its_sweep_has_its_name(path: Path) -> None:
    spec = load_search(path)
    assert spec.space
    assert spec.tune.num_samples > 1
    if path.name != "search.yaml":
        assert spec.name == path.stem


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_config_begins_with_the_command_that_runs_it(path: Path) -> None:
    command = "python sweeps/run.py" if path in SEARCHES else "python -m trainable"
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# {command} {name(path)}"


def test_no_two_sweeps_share_a_directory() -> None:
    names = [load_search(path).name for path in SEARCHES]
    assert len(set(names)) == len(names)
