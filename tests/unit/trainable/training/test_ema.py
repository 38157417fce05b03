"""The moving average of the weights: its values, what is scored with it, how it is saved."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainable.artifacts.checkpoint import read_checkpoint, to_cpu, write_checkpoint
from trainable.config import EmaConfig, load_config
from trainable.errors import CheckpointError
from trainable.models import get_model
from trainable.training.ema import WeightAverage
from trainable.training.trainer import Trainer

MakeTrainer = Callable[..., Trainer]
AssertSame = Callable[[Any, Any], None]
EMA = {"enabled": True, "decay": 0.8}
CNN = {"name": "tiny_models:dropout_cnn"}


def frozen(trainer: Trainer) -> dict[str, Any]:
    """Copies a state, so that further epochs do not change it."""
    return copy.deepcopy(to_cpu(trainer.state_dict()))


def test_the_average_is_that_of_the_formula() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, EmaConfig(enabled=True, decay=0.5, warmup=True))
    expected = None
    for step, value in enumerate([1.0, 3.0, -2.0, 8.0]):
        with torch.no_grad():
            model.weight.fill_(value)
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = value if expected is None else decay * expected + (1 - decay) * value
        weight = next(average.model.parameters())
        assert weight.item() == pytest.approx(expected, rel=1e-6)
        assert not weight.requires_grad
    assert average.updates == 4


def test_statistics_are_averaged_and_counters_are_copied() -> None:
    model = torch.nn.BatchNorm1d(2)
    average = WeightAverage(model, EmaConfig(enabled=True, decay=0.5, warmup=False))
    for value in (1, 3):
        model.running_mean.fill_(value)
        model.num_batches_tracked.fill_(value)
        average.update()
    buffers = dict(average.model.named_buffers())
    assert buffers["running_mean"].tolist() == [2.0, 2.0]
    assert buffers["num_batches_tracked"].item() == 3


def test_the_average_keeps_the_memory_format() -> None:
    model = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    average = WeightAverage(model, EmaConfig(enabled=True))
    average.update()
    average.update()
    weight = next(average.model.parameters())
    assert weight.stride() == model.weight.stride()
    assert torch.equal(weight, model.weight)


def test_the_training_itself_does_not_change(
    tiny_trainer: MakeTrainer, assert_same: AssertSame
) -> None:
    plain, averaged = tiny_trainer(model=CNN), tiny_trainer(model=CNN, ema=EMA)
    for _ in range(2):
        rows = [trainer.run_epoch() for trainer in (plain, averaged)]
        assert rows[0]["train_loss"] == rows[1]["train_loss"]
        assert rows[0]["val_loss"] != rows[1]["val_loss"]
    states = [trainer.state_dict() for trainer in (plain, averaged)]
    assert_same(
        dict(states[1]["training_state"]["raw_model_state_dict"]),
        dict(states[0]["model_state_dict"]),
    )
    assert_same(states[1]["optimizer_state_dict"], states[0]["optimizer_state_dict"])


def test_the_metrics_are_those_of_the_averaged_weights(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer(model=CNN, ema=EMA)
    row = trainer.run_epoch()
    state = frozen(trainer)
    other = tiny_trainer(model=CNN)
    other.model.load_state_dict(state["model_state_dict"])
    assert other.score("val").loss == row["val_loss"]
    other.model.load_state_dict(state["training_state"]["raw_model_state_dict"])
    assert other.score("val").loss != row["val_loss"]


def test_a_file_with_averaged_weights_says_so_and_another_is_as_before(
    tiny_trainer: MakeTrainer,
) -> None:
    plain, averaged = tiny_trainer().state_dict(), tiny_trainer(ema=EMA).state_dict()
    assert not {"weights", "training_state"} & plain.keys()
    assert plain["resume_state"]["format"] == 1
    assert averaged["weights"] == "ema"
    assert averaged["training_state"]["ema_updates"] == 0
    assert averaged["resume_state"]["format"] == 2


def test_the_documented_snippet_loads_the_averaged_weights(
    tiny_trainer: MakeTrainer, tmp_path: Path
) -> None:
    from trainable.config.yaml_reader import dump_yaml

    trainer = tiny_trainer(ema=EMA, model={"name": "resnet20"}, training={"epochs": 1})
    trainer.run_epoch()
    path = tmp_path / "best.pt"
    write_checkpoint(trainer.state_dict(), [path])
    (tmp_path / "config.yaml").write_text(dump_yaml(trainer.config.to_dict()))
    model = get_model(load_config(tmp_path / "config.yaml"))
    model.load_state_dict(torch.load(path)["model_state_dict"])
    assert trainer.average is not None
    for name, tensor in trainer.average.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_resumed_average_equals_an_uninterrupted_one(
    tiny_trainer: MakeTrainer,
    assert_same: AssertSame,
    without_times: Callable[[dict[str, Any]], dict[str, Any]],
    cut: int,
) -> None:
    sections = {"model": CNN, "ema": EMA, "training": {"epochs": 4}}
    whole, first, second = (tiny_trainer(**sections) for _ in range(3))
    rows = [without_times(whole.run_epoch()) for _ in range(4)]
    for _ in range(cut):
        first.run_epoch()
    second.load_state_dict(frozen(first))
    assert [without_times(second.run_epoch()) for _ in range(4 - cut)] == rows[cut:]
    assert_same(frozen(second), frozen(whole))


def test_the_decay_of_the_config_wins_over_the_checkpoint(tiny_trainer: MakeTrainer) -> None:
    """PBT may change it at an exploit."""
    donor = tiny_trainer(ema={"enabled": True, "decay": 0.5})
    donor.run_epoch()
    recipient = tiny_trainer(ema={"enabled": True, "decay": 0.9, "warmup": False})
    recipient.load_state_dict(frozen(donor))
    assert recipient.average is not None
    assert recipient.average.decay == 0.9


def test_an_average_that_is_switched_on_starts_from_the_checkpoints_weights(
    tiny_trainer: MakeTrainer,
) -> None:
    plain = tiny_trainer(model=CNN)
    row = plain.run_epoch()
    averaged = tiny_trainer(model=CNN, ema=EMA)
    averaged.load_state_dict(frozen(plain))
    assert averaged.score("val").loss == row["val_loss"]
    assert averaged.average is not None
    assert averaged.average.updates == 0


def test_without_the_average_a_resume_continues_with_the_raw_weights(
    tiny_trainer: MakeTrainer, assert_same: AssertSame
) -> None:
    plain, averaged = tiny_trainer(model=CNN), tiny_trainer(model=CNN, ema=EMA)
    for trainer in (plain, averaged):
        trainer.run_epoch()
    resumed = tiny_trainer(model=CNN)
    resumed.load_state_dict(frozen(averaged))
    plain.run_epoch()
    resumed.run_epoch()
    assert_same(dict(resumed.model.state_dict()), dict(plain.model.state_dict()))


def test_a_file_without_the_raw_weights_is_refused(
    tiny_trainer: MakeTrainer, tmp_path: Path
) -> None:
    state = tiny_trainer(ema=EMA).state_dict()
    del state["training_state"]
    write_checkpoint(state, [tmp_path / "best.pt"])
    with pytest.raises(CheckpointError, match="expected training_state with raw_model_state_dict"):
        read_checkpoint(tmp_path / "best.pt")
