"""A training from a library's weights, and what its checkpoint is used for without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tests.support.optional import skip_module_without
from tests.support.weight_caches import lay_hub_cache
from trainable.config import TrainConfig, parse_config
from trainable.experiment.fit import fit
from trainable.experiment.from_checkpoint import evaluate_checkpoint, restore, restored_config
from trainable.models import get_model
from trainable.training.trainer import Trainer

skip_module_without("timm")
constants = pytest.importorskip("huggingface_hub.constants")

NAME = "timm/test_resnet.r160_in1k"


def config_of(directory: Path, epochs: int, **model: Any) -> TrainConfig:
    return parse_config(
        {
            "dataset": {"name": "synthetic", "num_classes": 3, "num_train": 24, "num_test": 8},
            "model": {"name": "timm/test_resnet", **model},
            "training": {"epochs": epochs, "batch_size": 8},
            "optimizer": {"name": "sgd", "learning_rate": 0.01},
            "scheduler": {"name": "none"},
            "seed": {"enabled": True, "value": 1},
            "checkpoint": {"enabled": True, "dir": str(directory), "save_frequency": 1},
        }
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache with weights of the model, of a client that is offline."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    torch.manual_seed(3)
    source = get_model(config_of(tmp_path, 1, num_classes=1000))
    return lay_hub_cache(tmp_path / "hub", NAME, source.state_dict())


def test_a_checkpoint_needs_neither_the_weights_nor_a_network(tmp_path: Path, cache: Path) -> None:
    whole = Trainer(config_of(tmp_path, 2, pretrained=True), device=torch.device("cpu"))
    rows = [whole.run_epoch(), whole.run_epoch()]
    outcome = fit(config_of(tmp_path, 1, pretrained=True))
    assert outcome.directory is not None
    cache.unlink()
    checkpoint = outcome.directory / "checkpoints" / "best.pt"
    recorded = torch.load(checkpoint)["config"]
    assert recorded["model"]["name"] == NAME
    assert recorded["dataset"]["mean"] == [0.5, 0.5, 0.5]
    scores = evaluate_checkpoint(checkpoint, {}, allow_custom_model=False)
    assert scores["test_loss"] == pytest.approx(rows[0]["test_loss"], abs=1e-6)
    config = restored_config(checkpoint, tmp_path / "more", 2, {})
    more = restore(config, Console(quiet=True), allow_custom_model=False)
    assert more.rows[-1]["train_loss"] == rows[1]["train_loss"]  # to the same bits
    again = config_of(tmp_path / "again", 2, pretrained=True).to_dict()
    again["checkpoint"]["resume"] = str(checkpoint)
    resumed = fit(parse_config(again))
    assert resumed.rows[-1]["train_loss"] == rows[1]["train_loss"]


def test_the_weights_decide_the_first_loss(tmp_path: Path, cache: Path) -> None:
    assert cache.exists()
    losses = [
        Trainer(config_of(tmp_path, 1, **model), device=torch.device("cpu")).score("test").loss
        for model in ({"pretrained": True, "head_init": "zero"}, {})
    ]
    assert losses[0] == pytest.approx(1.0986, abs=1e-3)  # ln 3: equal chances
    assert losses[1] != pytest.approx(1.0986, abs=1e-3)
