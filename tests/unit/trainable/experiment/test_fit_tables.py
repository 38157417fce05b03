"""Trainings on tables of images and on files of arrays: resumed, evaluated, after changes."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner

from tests.support.array_files import example_arrays, write_arrays
from tests.support.image_folders import write_image_folder
from tests.support.label_tables import table_of_folder
from trainable.__main__ import main
from trainable.artifacts.checkpoint import MODEL
from trainable.config import TrainConfig, load_config
from trainable.errors import TuneSweepsError
from trainable.experiment.fit import Outcome
from trainable.experiment.from_checkpoint import evaluate_checkpoint
from trainable.inference.description import describe_model

MakeConfig = Callable[..., TrainConfig]
RunFit = Callable[..., Outcome]

pytestmark = pytest.mark.usefixtures("working_directory")

SECTIONS: dict[str, dict[str, Any]] = {
    "table": {"name": "table", "file": "labels.csv", "image_size": 8, "num_workers": 0},
    "arrays": {"name": "arrays", "file": "data.npz"},
}
KINDS = pytest.mark.parametrize("kind", SECTIONS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with the same kind of images as files with a table, and as arrays."""
    root = write_image_folder(tmp_path / "images")
    table_of_folder(root, root / "labels.csv")
    write_arrays(root / "data.npz", **example_arrays())
    return root


@pytest.fixture
def make_config(tiny_config: MakeConfig, root: Path) -> MakeConfig:
    def make(kind: str, name: str, /, **dataset: Any) -> TrainConfig:
        return tiny_config(
            dataset={**SECTIONS[kind], "root": str(root), "val_split": 0.25, **dataset},
            training={"epochs": 3, "batch_size": 4},
            checkpoint={"enabled": True, "experiment_name": name},
        )

    return make


def resumed(config: TrainConfig, latest: Path) -> TrainConfig:
    checkpoint = config.checkpoint.model_copy(
        update={"resume": str(latest), "experiment_name": "resumed"}
    )
    return config.model_copy(update={"checkpoint": checkpoint})


def latest_of(outcome: Outcome) -> Path:
    assert outcome.directory is not None
    return outcome.directory / "checkpoints" / "latest.pt"


def read(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, weights_only=True)
    return state


@KINDS
def test_the_command_trains_and_records_the_classes(kind, make_config, root):
    config = make_config(kind, "first").to_dict()
    Path("config.yaml").write_text(yaml.safe_dump(config))
    result = CliRunner().invoke(main, ["config.yaml", "--allow-custom-model"])
    assert result.exit_code == 0, result.output
    assert "epoch 3/3" in result.output
    experiment = Path("experiments/first")
    names = {"table": ("cat", "dog"), "arrays": ("0", "1")}[kind]
    assert load_config(experiment / "config.yaml").dataset.classes == names
    latest = experiment / "checkpoints" / "latest.pt"
    score = evaluate_checkpoint(latest, {}, allow_custom_model=True)
    assert score["images"] == 8
    assert score["test_acc"] == 1.0
    description = describe_model(load_config(experiment / "config.yaml"), read(latest), {})
    assert description["classes"] == list(names)
    assert description["preprocessing"]["size"] == (8, 8)


@KINDS
def test_a_resumed_training_equals_an_uninterrupted_one(kind, make_config, run_fit, assert_same):
    whole = latest_of(run_fit(make_config(kind, "whole")))
    stopped = latest_of(run_fit(make_config(kind, "stopped"), stop_after=1))
    again = latest_of(run_fit(resumed(make_config(kind, "resumed"), stopped)))
    assert_same(read(whole)[MODEL], read(again)[MODEL])
    assert_same(read(whole)["resume_state"]["split"], read(again)["resume_state"]["split"])


def test_a_table_with_other_classes_is_refused_by_name(make_config, run_fit, root):
    latest = latest_of(run_fit(make_config("table", "first"), stop_after=1))
    table = root / "labels.csv"
    table.write_text(table.read_text().replace(",cat,", ",kitten,"))
    with pytest.raises(TuneSweepsError, match="missing cat and new kitten"):
        run_fit(resumed(make_config("table", "resumed"), latest))
    with pytest.raises(TuneSweepsError, match="missing cat and new kitten"):
        evaluate_checkpoint(latest, {}, allow_custom_model=True)
    assert not Path("experiments/resumed").exists()


def test_arrays_with_other_classes_or_images_are_refused(make_config, run_fit, root):
    latest = latest_of(run_fit(make_config("arrays", "first"), stop_after=1))
    arrays = example_arrays()
    write_arrays(root / "data.npz", **{**arrays, "y_train": arrays["y_train"][::-1].copy()})
    with pytest.raises(TuneSweepsError, match="have changed since the training began"):
        run_fit(resumed(make_config("arrays", "resumed"), latest))
    others = {name: arrays[name] + 5 for name in ("y_train", "y_test")}
    write_arrays(root / "data.npz", **{**arrays, **others})
    with pytest.raises(TuneSweepsError, match="missing 0, 1 and new 5, 6"):
        run_fit(resumed(make_config("arrays", "resumed"), latest))
    with pytest.raises(TuneSweepsError, match="missing 0, 1 and new 5, 6"):
        evaluate_checkpoint(latest, {}, allow_custom_model=True)


@KINDS
def test_data_that_have_moved_are_evaluated_there(kind, make_config, run_fit, root):
    latest = latest_of(run_fit(make_config(kind, "first"), stop_after=1))
    file = SECTIONS[kind]["file"]
    shutil.move(root, root.with_name("elsewhere"))
    moved = root.with_name("elsewhere") / file
    renamed = moved.rename(moved.with_stem("renamed"))
    values = {"dataset.root": str(renamed.parent), "dataset.file": renamed.name}
    assert evaluate_checkpoint(latest, values, allow_custom_model=True)["images"] == 8
