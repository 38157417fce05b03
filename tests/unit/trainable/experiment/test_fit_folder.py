"""Trainings on images in folders, resumed and evaluated after the folders have changed."""

import csv
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from shutil import copy, copytree
from typing import Any

import pytest
import torch
from rich.console import Console

from tests.support.image_folders import write_image_folder
from trainable.config import TrainConfig, load_config
from trainable.errors import TuneSweepsError
from trainable.experiment.fit import Outcome
from trainable.experiment.from_checkpoint import evaluate_checkpoint, restored_config
from trainable.preflight.resume import check_resume
from trainable.preflight.shapes import DataShape

MakeConfig = Callable[..., TrainConfig]
RunFit = Callable[..., Outcome]

pytestmark = pytest.mark.usefixtures("working_directory")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_image_folder(tmp_path / "images")


@pytest.fixture
def make_config(tiny_config: MakeConfig, root: Path) -> MakeConfig:
    def make(dataset: dict[str, Any] | None = None, **sections: Any) -> TrainConfig:
        folder = {"name": "image_folder", "root": str(root), "image_size": 8, "num_workers": 0}
        return tiny_config(
            dataset={**folder, "val_split": 0.25, **(dataset or {})},
            training={"epochs": 4, "batch_size": 4},
            checkpoint={"enabled": True, "save_frequency": 1, **sections},
        )

    return make


@pytest.fixture
def stopped(make_config: MakeConfig, run_fit: RunFit) -> Path:
    """The `latest.pt` of a training that was stopped after two of its four epochs."""
    outcome = run_fit(make_config(experiment_name="stopped"), stop_after=2)
    assert outcome.directory is not None
    return outcome.directory / "checkpoints" / "latest.pt"


def read(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, weights_only=True)
    return state


def strip(path: Path) -> None:
    """Makes a checkpoint one of a version that recorded neither split nor class names."""
    state = read(path)
    del state["resume_state"]["split"], state["config"]["dataset"]["classes"]
    torch.save(state, path)


def rename_class(root: Path, old: str, new: str) -> None:
    for split in ("train", "test"):
        (root / split / old).rename(root / split / new)


def test_class_names_and_split_go_into_config_and_checkpoint(stopped):
    config = load_config(stopped.parents[1] / "config.yaml")
    assert config.dataset.classes == ("cat", "dog")
    state = read(stopped)
    assert state["config"]["dataset"]["classes"] == ["cat", "dog"]
    split = state["resume_state"]["split"]
    assert (split["classes"], split["seed"], split["fraction"]) == (["cat", "dog"], 42, 0.25)
    assert split["sizes"] == {"train": 12, "val": 4, "test": 8}


def test_a_resumed_training_is_the_uninterrupted_one(stopped, make_config, run_fit, assert_same):
    whole = run_fit(make_config(experiment_name="whole")).directory / "checkpoints"
    run_fit(make_config(experiment_name="stopped", resume=str(stopped)))
    state, expected = read(stopped), read(whole / "latest.pt")
    del state["config"], expected["config"]
    assert_same(state, expected)


def test_a_resumed_training_holds_out_the_same_images_and_says_what_has_changed(
    stopped, make_config, run_fit, root
):
    split = read(stopped)["resume_state"]["split"]
    for number in range(8):
        copy(root / "train" / "dog" / "0.png", root / "train" / "dog" / f"new{number}.png")
    text = StringIO()
    console = Console(file=text, width=200)
    run_fit(make_config(experiment_name="stopped", resume=str(stopped)), console=console)
    assert read(stopped)["resume_state"]["split"] == split
    assert text.getvalue().count("have changed since the training began: train 12 -> ") == 1


def split_table(latest: Path) -> dict[str, dict[str, str]]:
    """Returns the rows of the `split.csv` of an experiment by path."""
    text = (latest.parents[1] / "split.csv").read_text(encoding="utf-8")
    return {row["path"]: row for row in csv.DictReader(text.splitlines())}


def test_a_training_with_folds_is_resumed_and_evaluated_also_after_files_came(
    stopped, make_config, run_fit, root
):
    folds = {"val_split": None, "folds": 4, "fold": 2}
    run_fit(make_config(folds, experiment_name="folds"), stop_after=2)
    latest = stopped.parents[2] / "folds" / "checkpoints" / "latest.pt"
    before = split_table(latest)
    assert {row["fold"] for row in before.values() if row["split"] == "val"} == {"2"}
    assert len(before) == 16 + 8
    for number in range(8):
        copy(root / "train" / "dog" / "0.png", root / "train" / "dog" / f"new{number}.png")
    run_fit(make_config(folds, experiment_name="folds", resume=str(latest)))
    after = split_table(latest)
    assert len(after) == len(before) + 8
    assert {path: row for path, row in after.items() if "new" not in path} == before
    assert read(latest)["resume_state"]["split"]["fold"] == 2
    assert evaluate_checkpoint(latest, {}, allow_custom_model=True)["images"] == 8
    assert restored_config(latest, "experiments", None, {}).dataset.fold == 2


def test_a_checkpoint_without_a_record_keeps_its_split_by_position(stopped, make_config, run_fit):
    strip(stopped)
    run_fit(make_config(experiment_name="stopped", resume=str(stopped)))
    state = read(stopped)
    assert state["resume_state"]["split"]["by_position"]
    assert state["config"]["dataset"]["classes"] == ["cat", "dog"]


def test_a_renamed_class_is_refused_and_nothing_is_created(
    stopped, make_config, run_fit, root, file_tree
):
    rename_class(root, "cat", "kitten")
    before = file_tree(Path.cwd())
    for config in (
        make_config(resume=str(stopped)),
        restored_config(stopped, "experiments", None, {}),
    ):
        with pytest.raises(TuneSweepsError, match="missing cat and new kitten"):
            run_fit(config)
    with pytest.raises(TuneSweepsError, match="missing cat and new kitten"):
        evaluate_checkpoint(stopped, {}, allow_custom_model=True)
    assert file_tree(Path.cwd()) == before


def test_names_given_in_the_old_order_are_taken_for_the_old_ones(stopped, root):
    before = evaluate_checkpoint(stopped, {}, allow_custom_model=True)
    rename_class(root, "cat", "wolf")  # behind `dog`, so that the labels would be swapped
    values = {"dataset.classes": ["wolf", "dog"]}
    after = evaluate_checkpoint(stopped, values, allow_custom_model=True)
    assert after == before


def test_the_same_names_in_another_order_are_refused(stopped, make_config, run_fit, file_tree):
    before = file_tree(Path.cwd())
    values = {"dataset.classes": ["dog", "cat"]}
    config = make_config({"classes": ["dog", "cat"]}, resume=str(stopped))
    rule = "cat was 0 and is 1; dog was 1 and is 0; set dataset.classes .* order: cat, dog"
    with pytest.raises(TuneSweepsError, match=rule):
        run_fit(config)
    with pytest.raises(TuneSweepsError, match=rule):
        run_fit(restored_config(stopped, "experiments", None, values))
    with pytest.raises(TuneSweepsError, match=rule):
        evaluate_checkpoint(stopped, values, allow_custom_model=True)
    data = DataShape(2, (3, 8, 8))
    problems = {problem.key: problem.rule for problem in check_resume(config, data)}
    assert re.search(rule, problems["dataset.classes"])
    assert file_tree(Path.cwd()) == before


@pytest.mark.parametrize("stripped", [False, True])
def test_another_number_of_classes_is_refused_by_name(stopped, root, stripped):
    if stripped:
        strip(stopped)
    for split in ("train", "test"):
        copytree(root / split / "dog", root / split / "emu")
    expected = "2 classes, found 3 in .*: cat, dog, emu" if stripped else "classes: new emu"
    with pytest.raises(TuneSweepsError, match=expected):
        evaluate_checkpoint(stopped, {}, allow_custom_model=True)


def test_an_evaluation_says_that_the_test_images_have_changed(stopped, root):
    for path in (root / "test" / "cat" / "0.png", *(root / "train" / "cat").glob("*.png")):
        if path.name != "1.png":
            path.unlink()
    scores = evaluate_checkpoint(stopped, {}, allow_custom_model=True)
    assert scores["images"] == 7
    assert scores["notices"][0] == (
        f"the images in {root} have changed since the training began: test 8 -> 7; those that "
        "were there keep their side"
    )
