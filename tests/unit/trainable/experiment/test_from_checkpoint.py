"""A checkpoint on data or a model of another shape: refused by key, with both values."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainable.artifacts.checkpoint import CONFIG, read_checkpoint, write_checkpoint
from trainable.errors import CheckpointError
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
