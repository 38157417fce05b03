"""The shipped config files are valid and state how to run them."""

import re
from pathlib import Path

import pytest

from sweeps.spec.load import load_search
from trainable.config import load_config, parse_config

CONFIGS = Path(__file__).parents[2] / "configs"
CLUSTER = CONFIGS / "cluster"
FILES = sorted(path for path in CONFIGS.rglob("*.yaml") if path.parent != CLUSTER)
SEARCHES = [CONFIGS / "search.yaml", *sorted((CONFIGS / "searches").rglob("*.yaml"))]
TRAININGS = [path for path in FILES if path not in SEARCHES]


def name(path: Path) -> str:
    return path.relative_to(CONFIGS.parent).as_posix()


def test_every_config_is_covered() -> None:
    assert (len(TRAININGS), len(SEARCHES)) == (5, 10)
    others = {path.name for path in CONFIGS.rglob("*") if path.is_file()} - {p.name for p in FILES}
    cluster = {path.name for path in CLUSTER.iterdir()}  # covered by test_cluster_configs.py
    assert others - cluster == {"search.schema.json", "training.schema.json"}


def test_every_documented_search_exists() -> None:
    assert {path.stem for path in SEARCHES} == {
        "search", "digits_pbt", "digits_tpe", "digits_grid", "cifar10_asha", "cifar10_pbt",
        "cifar100_bohb", "finetune_timm", "mnist_random", "recipe_digits",
    }  # fmt: skip


@pytest.mark.parametrize("path", TRAININGS, ids=name)
def test_a_training_config_is_valid_and_keeps_its_best_model(path: Path) -> None:
    config = load_config(path)
    assert config.checkpoint.enabled
    assert config.checkpoint.save_best
    assert config.dataset.val_split, "a sweep over it would select on the test set"


@pytest.mark.parametrize("path", SEARCHES, ids=name)
def test_a_search_file_is_valid_and_named_like_its_sweep(path: Path) -> None:
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


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_config_names_its_schema_to_editors(path: Path) -> None:
    (line,) = [
        line
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("# yaml-language-server: $schema=")
    ]
    schema = (path.parent / line.partition("=")[2]).resolve()
    kind = "search" if path in SEARCHES else "training"
    assert schema == CONFIGS / f"{kind}.schema.json"


@pytest.mark.parametrize("path", SEARCHES, ids=name)
def test_a_search_states_its_duration_and_result(path: Path) -> None:
    head = re.match(r"(#.*\n)+", path.read_text(encoding="utf-8"))
    assert head is not None
    if "not yet run" not in head[0].lower():
        measured = r"[Aa]bout .*minute.* on 2 CPU cores; best val_(acc|loss) 0\.\d+"
        assert re.search(measured, head[0])
        dataset = parse_config(load_search(path).config).dataset.name
        assert dataset in {"digits", "image_folder"}, "the others need a download"


def test_no_two_sweeps_share_a_directory() -> None:
    names = [load_search(path).name for path in SEARCHES]
    assert len(set(names)) == len(names)
