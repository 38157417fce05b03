"""`fit` continues training while a checkpoint is being written."""

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from trainable.artifacts import checkpoint
from trainable.artifacts.checkpoint import checkpoint_epoch
from trainable.config import TrainConfig
from trainable.experiment.fit import Outcome
from trainable.training.trainer import Row, Trainer

MakeConfig = Callable[..., TrainConfig]
RunFit = Callable[..., Outcome]
WRITE = checkpoint.write_checkpoint
PATIENCE_S = 60.0

pytestmark = pytest.mark.usefixtures("working_directory")

SAVES = {"enabled": True, "save_frequency": 1, "save_best": False}


def test_the_next_epoch_is_trained_while_a_checkpoint_is_written(
    tiny_config: MakeConfig, run_fit: RunFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = {epoch: Event() for epoch in (1, 2, 3)}
    run_epoch = Trainer.run_epoch

    def run(trainer: Trainer, *arguments: Any) -> Row:
        row = run_epoch(trainer, *arguments)
        trained[trainer.epoch].set()
        return row

    def write(state: dict[str, Any], names: list[Path]) -> None:
        following = trained.get(state["epoch"] + 1)
        assert following is None or following.wait(PATIENCE_S), "training has waited"
        WRITE(state, names)

    monkeypatch.setattr(Trainer, "run_epoch", run)
    monkeypatch.setattr(checkpoint, "write_checkpoint", write)
    outcome = run_fit(tiny_config(training={"epochs": 3}, checkpoint=SAVES))
    assert outcome.directory is not None
    saved = {p.name: checkpoint_epoch(p) for p in (outcome.directory / "checkpoints").iterdir()}
    assert saved == {
        "epoch_0001.pt": 1,
        "epoch_0002.pt": 2,
        "epoch_0003.pt": 3,
        "latest.pt": 3,
    }


@pytest.mark.parametrize("failing", [1, 3])
def test_a_checkpoint_that_cannot_be_written_ends_the_training(
    tiny_config: MakeConfig,
    run_fit: RunFit,
    working_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    failing: int,
) -> None:
    def write(state: dict[str, Any], names: list[Path]) -> None:
        if state["epoch"] == failing:
            raise OSError(5, "input/output error")
        WRITE(state, names)

    monkeypatch.setattr(checkpoint, "write_checkpoint", write)
    with pytest.raises(OSError, match="input/output error"):
        run_fit(tiny_config(training={"epochs": 3}, checkpoint=SAVES))
    saved = sorted(p.name for p in working_directory.glob("experiments/*/checkpoints/epoch_*.pt"))
    assert saved == [f"epoch_{epoch:04d}.pt" for epoch in range(1, failing)]
