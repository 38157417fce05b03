"""A checkpoint on data or a model of another shape: refused by key, with both values."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainable.artifacts.checkpoint import CONFIG, read_checkpoint, write_checkpoint
from trainable.config import TrainConfig
from trainable.errors import CheckpointError
from trainable.experiment.fit import Outcome
from trainable.experiment.from_checkpoint import evaluate_checkpoint, restored_config
from trainable.training.trainer import Trainer

SYNTHETIC = {
    "dataset.name": "synthetic",
    "dataset.shape": [1, 8, 8],
    "dataset.num_train": 20,
    "dataset.num_test": 10,
}


@pytest.fixture(scope="module")
def checkpoint(
    tmp_path_factory: pytest.TempPathFactory, tiny_trainer: Callable[..., Trainer]
) -> Path:
    """A checkpoint of digits: 10 classes, 1 channel."""
    path = tmp_path_factory.mktemp("checkpoint") / "best.pt"
    write_checkpoint(tiny_trainer().state_dict(), [path])
    return path


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"model.num_classes": 4}, ["model.num_classes is 10 in best.pt and 4 in the config"]),
    ({"model.in_channels": 3}, ["model.in_channels is 1 in best.pt and 3 in the config"]),
    ({"model.name": "resnet20"},
     ["model.name is tiny_models:mlp in best.pt and resnet20 in the config"]),
    ({**SYNTHETIC, "dataset.num_classes": 4},
     ["model.num_classes is 10 in best.pt and 4 in the data (dataset.name: synthetic)"]),
    ({"dataset.name": "cifar100"},
     ["model.num_classes is 10 in best.pt and 100 in the data (dataset.name: cifar100)",
      "model.in_channels is 1 in best.pt and 3 in the data (dataset.name: cifar100)"]),
    ({"dataset.name": "cifar10", "model.num_classes": 4},
     ["model.num_classes is 10 in best.pt and 4 in the config",
      "model.in_channels is 1 in best.pt and 3 in the data (dataset.name: cifar10)"]),
]  # fmt: skip


@pytest.mark.parametrize(("values", "differences"), REFUSED, ids=lambda value: str(value)[:50])
def test_another_shape_is_refused_by_key_with_both_values(
    values: dict[str, Any], differences: list[str], checkpoint: Path
) -> None:
    for use in (
        lambda: restored_config(checkpoint, "experiments", 9, values),
        lambda: evaluate_checkpoint(checkpoint, values, allow_custom_model=True),
    ):
        with pytest.raises(CheckpointError) as caught:
            use()
        assert str(caught.value).startswith(f"{'; '.join(differences)}: a checkpoint can only")


@pytest.mark.parametrize("values", [{}, {"dataset.seed": 3}, SYNTHETIC, {"training.epochs": 9}])
def test_the_same_shape_is_accepted(values: dict[str, Any], checkpoint: Path) -> None:
    assert restored_config(checkpoint, "experiments", 9, values).model.num_classes == 10
    assert evaluate_checkpoint(checkpoint, values, allow_custom_model=True)["images"] > 0


def test_a_restored_training_equals_an_uninterrupted_one_with_averaged_weights(
    tiny_config: Callable[..., TrainConfig],
    run_fit: Callable[..., Outcome],
    working_directory: Path,
    assert_same: Callable[[Any, Any], None],
) -> None:
    """Also the focal loss, balanced draws and early stopping; `eval` scores the average."""
    sections = {
        "loss": {"name": "focal", "weight": "balanced"},
        "ema": {"enabled": True, "decay": 0.9},
        "training": {
            "epochs": 9,
            "sampler": "balanced",
            "early_stopping": {"patience": 2, "min_delta": 0.1},
        },
    }
    saving = {"enabled": True, "save_frequency": 1, "experiment_name": "whole"}
    whole = run_fit(tiny_config(**sections, checkpoint=saving))
    assert whole.stop is not None
    checkpoints = working_directory / "experiments" / "whole" / "checkpoints"
    config = restored_config(checkpoints / "epoch_0001.pt", "restored", None, {})
    restored = run_fit(config)
    assert restored.stop == whole.stop
    states = [read_checkpoint(Path(outcome.latest)) for outcome in (whole, restored)]
    for state in states:
        del state[CONFIG]["checkpoint"]
    assert_same(states[1], states[0])
    scores = evaluate_checkpoint(checkpoints / "latest.pt", {}, allow_custom_model=True)
    assert scores["test_loss"] == whole.rows[-1]["test_loss"]
    raw = {"ema.enabled": False}
    scores = evaluate_checkpoint(checkpoints / "latest.pt", raw, allow_custom_model=True)
    assert scores["test_loss"] != whole.rows[-1]["test_loss"]


def test_loading_into_another_shape_names_the_key(
    checkpoint: Path, tiny_trainer: Callable[..., Trainer]
) -> None:
    """As for `checkpoint.resume` of a training or a trial."""
    trainer = tiny_trainer(model={"num_classes": 12})
    state = read_checkpoint(checkpoint)
    with pytest.raises(CheckpointError) as caught:
        trainer.load_state_dict(state)
    assert str(caught.value) == (
        "model.num_classes is 10 in the checkpoint and 12 in the config: its weights do not fit"
    )
    state[CONFIG]["model"] = "unknown"  # of a foreign program
    with pytest.raises(CheckpointError, match="size mismatch"):
        trainer.load_state_dict(state)
