"""`--set` for search files: values are checked like those of the file, errors name `--set`."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sweeps.cli.main import main
from sweeps.spec.load import load_search
from sweeps.spec.overrides import parse_assignments
from sweeps.spec.search_spec import SearchSpec

SEARCH = """\
name: small
config: training.yaml
space:
  optimizer.learning_rate: {loguniform: [1e-3, 1.0]}
  training.batch_size: {choice: [32, 64], when: {model.name: resnet20}}
  model.name: {choice: [resnet20, cnv]}
tune:
  num_samples: 6
  scheduler: {name: asha, grace_period: 2}
  seed: 1
"""
TRAINING = """\
dataset: {name: digits, val_split: 0.2}
model: {name: resnet20}
training:
  epochs: 4
optimizer: {name: sgd, learning_rate: 0.1, momentum: 0.8}
"""


@pytest.fixture
def search_file(tmp_path: Path) -> Path:
    (tmp_path / "training.yaml").write_text(TRAINING, encoding="utf-8")
    path = tmp_path / "search.yaml"
    path.write_text(SEARCH, encoding="utf-8")
    return path


def load(search_file: Path, *assignments: str) -> SearchSpec:
    return load_search(search_file, parse_assignments(assignments, SearchSpec))


def problems(search_file: Path, *assignments: str) -> list[str]:
    """Returns the problems that `sweep validate` prints, one per line."""
    options = [word for text in assignments for word in ("--set", text)]
    done = CliRunner().invoke(main, ["validate", str(search_file), *options])
    assert done.exit_code == 2, done.output
    return [line.strip() for line in done.stderr.splitlines()[1:]]


def test_a_key_of_the_search_file_is_replaced(search_file: Path) -> None:
    spec = load(search_file, "tune.num_samples=4", "resources.gpu=0.5", "name=other")
    assert (spec.tune.num_samples, spec.resources.gpu, spec.name) == (4, 0.5, "other")
    assert spec.tune.scheduler.name == "asha"


def test_config_keys_change_the_file_that_config_names(search_file: Path) -> None:
    spec = load(search_file, "config.training.epochs=9", "config.amp.dtype=bfloat16")
    config = spec.training
    assert (config.training.epochs, config.amp.dtype) == (9, "bfloat16")
    assert config.optimizer.learning_rate == 0.1
    assert (search_file.parent / "training.yaml").read_text(encoding="utf-8") == TRAINING


def test_a_new_optimizer_drops_keys_that_it_does_not_have(search_file: Path) -> None:
    config = load(search_file, "config.optimizer.name=adamw").to_dict()["config"]
    assert config["optimizer"]["name"] == "adamw"
    assert "momentum" not in config["optimizer"]


def test_a_new_scheduler_drops_keys_that_it_does_not_have(search_file: Path) -> None:
    tune = load(search_file, "tune.scheduler={name: fifo}").tune
    assert tune.scheduler.model_dump() == {"name": "fifo"}
    tune = load(search_file, "tune.scheduler.name=median").tune
    assert (tune.scheduler.name, tune.scheduler.model_dump()["grace_period"]) == ("median", 2)
    again = load(search_file, "tune.scheduler=asha", "tune.scheduler.grace_period=3").tune
    assert again.scheduler.model_dump()["grace_period"] == 3


@pytest.mark.parametrize(
    ("assignments", "key", "entry"),
    [
        (["training.batch_size.choice=[16]"], "training.batch_size",
         {"choice": [16], "when": {"model.name": ["resnet20"]}}),
        (["training.batch_size={choice: [16]}"], "training.batch_size", {"choice": [16]}),
        (["training.batch_size.when.model.name=cnv"], "training.batch_size",
         {"choice": [32, 64], "when": {"model.name": ["cnv"]}}),
        (["optimizer.learning_rate.min=0.1", "optimizer.learning_rate.max=0.5"],
         "optimizer.learning_rate", {"uniform": [0.1, 0.5]}),
        (["optimizer.momentum.uniform=[0.5, 0.9]"], "optimizer.momentum",
         {"uniform": [0.5, 0.9]}),
        (["optimizer.momentum.zip.model.name=[0.5, 0.9]"], "optimizer.momentum",
         {"zip": {"model.name": [0.5, 0.9]}}),
    ],
)  # fmt: skip
def test_an_entry_of_the_space_is_replaced(
    search_file: Path, assignments: list[str], key: str, entry: dict[str, Any]
) -> None:
    spec = load(search_file, *(f"space.{text}" for text in assignments))
    assert spec.space[key].to_dict() == entry


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("tune.num_samples=0", "--set tune.num_samples: must be > 0, found 0"),
        ("tune.num_smaples=4", '--set tune.num_smaples: unknown key; did you mean "num_samples"?'),
        ("config.training.epochs=0", "--set config.training.epochs: must be > 0, found 0"),
        ("config.training=3", "--set config.training: must be a mapping, found 3"),
        ("config.optimizer.momentum.x=3", '.momentum.x: "momentum" must be a mapping, found 0.8'),
        ("config.optimizer.nesterov.x=3", "--set config.optimizer.nesterov: must be true or"),
        ("config=nowhere.yaml", "nowhere.yaml: no such file"),
        ("name.x=3", "--set name.x: \"name\" must be a mapping, found 'small'"),
        ("training.epochs=3", "is a key of the training config: --set config.training.epochs=..."),
        ("space.training.batch_size.choice=[]", "--set space.training.batch_size.choice: must be"),
        ("space.model.width={choice: [1]}", "--set space.model.width: unknown key"),
        ("constraints=[a < 1]", "--set constraints[0]: a is not a key of the space"),
    ],
)  # fmt: skip
def test_a_bad_value_is_reported_with_set_instead_of_a_line(
    search_file: Path, assignment: str, message: str
) -> None:
    lines = problems(search_file, assignment)
    assert lines[0].startswith("--set ")
    assert message in lines[0]


def test_a_problem_elsewhere_names_the_assignment_that_causes_it(search_file: Path) -> None:
    (line,) = problems(search_file, "tune.num_samples=3", "config.training.epochs=1")
    assert line == (
        "line 9: tune.scheduler.grace_period: must be at most training.epochs (1), found 2 "
        "(with --set config.training.epochs)"
    )


def test_problems_of_the_file_and_of_the_command_line_are_listed_together(
    search_file: Path,
) -> None:
    search_file.write_text(SEARCH.replace("seed: 1", "seed: -1"), encoding="utf-8")
    lines = problems(search_file, "training.epochs=1", "tune.num_samples=0")
    assert [line.partition(": ")[0] for line in lines] == [
        "--set training.epochs", "--set tune.num_samples", "line 10",
    ]  # fmt: skip
    assert "with --set" not in lines[-1]


def test_run_checks_it_before_anything_starts(search_file: Path) -> None:
    done = CliRunner().invoke(main, ["run", str(search_file), "--set", "tune.num_samples=0"])
    assert done.exit_code == 2
    assert "--set tune.num_samples: must be > 0" in done.stderr
    without_file = CliRunner().invoke(main, ["run", "--set", "tune.num_samples=4"])
    assert without_file.exit_code == 2
    assert "a search file, or --resume" in without_file.stderr
