"""The shipped search over a fine-tuning, small: weights from a file, images in folders."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from sweeps.cli.main import main
from sweeps.spec.load import load_search
from sweeps.sweep_dir.layout import SweepLayout
from tests.support.image_folders import write_image_folder
from trainable.models import get_model
from trainable.optim.frozen import batch_norms, frozen_parameters

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SEARCH = Path(__file__).parents[2] / "configs" / "searches" / "finetune_timm.yaml"
SMALL = [
    "config.dataset.image_size=32", "config.dataset.num_workers=0",
    "config.dataset.val_split=0.25",
    "config.training.epochs=2", "config.training.batch_size=8", "config.tensorboard.enabled=false",
    "tune.num_samples=2", "tune.search_alg.n_startup_trials=1", "tune.scheduler.grace_period=1",
    "resources.cpu=2",
]  # fmt: skip


def write_weights(path: Path, name: str) -> dict[str, torch.Tensor]:
    """Writes weights for a thousand classes, with statistics of their own; returns them."""
    timm = pytest.importorskip("timm")
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model(name.removeprefix("timm/"))
    for layer in batch_norms(model):
        torch.nn.init.normal_(layer.get_buffer("running_mean"), std=0.1)
    weights: dict[str, torch.Tensor] = model.state_dict()
    save_file(weights, path)
    return weights


def test_the_fine_tuning_search_trains_what_it_does_not_freeze(working_directory: Path) -> None:
    name = load_search(SEARCH).training.model.name
    weights = write_weights(working_directory / "weights.safetensors", name)
    root = write_image_folder(working_directory / "data" / "images", train=12, side=40)
    words = [*SMALL, f"config.dataset.root={root}", "config.model.pretrained=weights.safetensors"]
    options = [word for text in words for word in ("--set", text)]
    done = CliRunner().invoke(main, ["run", str(SEARCH), *options])
    assert done.exit_code == 0, done.output

    directory = working_directory / "experiments" / "finetune_timm"
    assert SweepLayout(directory).read_sweep().state == "finished"
    with (directory / "trials.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    (first, *_) = sorted(directory.glob("*/checkpoints/best.pt"))
    check_weights(torch.load(first, weights_only=True), weights)


def check_weights(checkpoint: dict[str, object], weights: dict[str, torch.Tensor]) -> None:
    """Fails unless frozen weights and all statistics are those of the file, and others are not."""
    from trainable.config import parse_config

    config = parse_config(checkpoint["config"])
    assert config.model.batch_norm == "eval"
    frozen = frozen_parameters(get_model(config), config.model)
    state = checkpoint["model_state_dict"]
    assert isinstance(state, dict)
    assert frozen
    same = {name for name, value in weights.items() if torch.equal(state[name], value)}
    statistics = {name for name in weights if ".running_" in f".{name}" or "_tracked" in name}
    assert same == frozen | statistics
