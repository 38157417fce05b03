"""The documented snippet that loads a checkpoint runs verbatim."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trainable.config import TrainConfig
from trainable.experiment.fit import fit

ALIASES = Path(__file__).parents[2] / "trainable" / "aliases"
SHORT_NAMES = ("models", "utils")

SNIPPET = """\
import torch
from models import get_model
from utils import load_config

# Load config and create model
config = load_config("experiments/my_exp/config.yaml")
model = get_model(config)

# Load checkpoint
checkpoint = torch.load("experiments/my_exp/checkpoints/best.pt")
model.load_state_dict(checkpoint["model_state_dict"])

# Use model for inference
model.eval()
"""

SAME_MODULES = """
import models, utils
import trainable.config, trainable.models

assert models.get_model is trainable.models.get_model
assert models.list_models is trainable.models.list_models
assert utils.load_config is trainable.config.load_config
"""

SAME_ACCURACY = """
from trainable.data.loading import load_data
from trainable.training.epoch import drain, evaluate
from trainable.training.step import EvaluationStep

source = load_data(config.dataset, torch.device("cpu"))
batches = source.eval_batches("val", 512)
score = drain(evaluate(EvaluationStep(model, torch.nn.CrossEntropyLoss()), batches))
assert score.acc == checkpoint["best_acc"], (score, checkpoint["best_acc"])
"""


def test_the_loading_snippet_runs_verbatim_and_loads_the_saved_model(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_config: Callable[..., TrainConfig],
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    fit(
        tiny_config(
            model={"name": "resnet20"},
            training={"epochs": 1, "batch_size": 512},
            checkpoint={"enabled": True, "experiment_name": "my_exp"},
        )
    )
    monkeypatch.syspath_prepend(ALIASES)
    capfd.readouterr()
    try:
        exec(compile(SNIPPET + SAME_MODULES + SAME_ACCURACY, "snippet", "exec"), {})
        assert {Path(str(sys.modules[name].__file__)).parent for name in SHORT_NAMES} == {ALIASES}
    finally:
        for name in SHORT_NAMES:
            sys.modules.pop(name, None)
    assert capfd.readouterr() == ("", "")
