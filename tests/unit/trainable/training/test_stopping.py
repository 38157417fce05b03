"""Rules that end a training early: when they do, what a resume keeps, what is said."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from trainable.artifacts.checkpoint import to_cpu
from trainable.config import TrainConfig
from trainable.errors import ConfigError
from trainable.training.stopping import Stop, StopRules
from trainable.training.trainer import Trainer

MakeConfig = Callable[..., TrainConfig]
MakeTrainer = Callable[..., Trainer]


def stops(config: TrainConfig, values: list[float], column: str = "val_acc") -> list[int]:
    """Feeds metrics of epochs and returns the epochs after which the training ends."""
    rules = StopRules(config)
    ended = []
    for epoch, value in enumerate(values, start=1):
        rules.observe(epoch, {column: value, "val_acc": value}, 1.0)
        if rules.stop is not None:
            ended.append(epoch)
    return ended


def early(make_config: MakeConfig, epochs: int = 20, **values: Any) -> TrainConfig:
    return make_config(training={"epochs": epochs, "early_stopping": values})


def test_a_training_ends_after_so_many_epochs_without_an_improvement(
    tiny_config: MakeConfig,
) -> None:
    config = early(tiny_config, patience=2)
    assert stops(config, [0.1, 0.5, 0.4, 0.6, 0.6, 0.59]) == [6]
    assert stops(config, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) == []


def test_an_improvement_must_be_larger_than_min_delta(tiny_config: MakeConfig) -> None:
    values = [0.5, 0.504, 0.508, 0.512, 0.516]
    assert stops(early(tiny_config, patience=2), values) == []
    assert stops(early(tiny_config, patience=2, min_delta=0.01), values) == [3]


def test_losses_are_to_fall(tiny_config: MakeConfig) -> None:
    config = early(tiny_config, patience=2, monitor="val_loss")
    assert stops(config, [1.0, 0.8, 0.9, 0.7], "val_loss") == []
    assert stops(config, [1.0, 1.1, 1.2, 1.3], "val_loss")[0] == 3


def test_the_metric_is_that_of_best_pt_unless_it_is_named(tiny_config: MakeConfig) -> None:
    config = tiny_config(
        training={"epochs": 9, "early_stopping": {"patience": 1}},
        checkpoint={"monitor": "val_loss"},
    )
    assert stops(config, [1.0, 0.9, 0.95], "val_loss") == [3]


def test_the_last_epoch_finishes_a_training(tiny_config: MakeConfig) -> None:
    assert stops(early(tiny_config, epochs=3, patience=2), [0.3, 0.2, 0.1]) == []


def test_the_reason_is_told(tiny_config: MakeConfig) -> None:
    rules = StopRules(early(tiny_config, patience=2, min_delta=0.01))
    for epoch, value in enumerate([0.5, 0.505, 0.503], start=1):
        rules.observe(epoch, {"val_acc": value}, 1.0)
    assert rules.stop == Stop(
        "early_stopping",
        "val_acc has not risen by more than 0.01 for 2 epochs, from 0.5000 at epoch 1",
    )


def test_the_time_counts_over_resumes(tiny_config: MakeConfig) -> None:
    config = tiny_config(training={"epochs": 20, "max_seconds": 60})
    rules, resumed = StopRules(config), StopRules(config)
    for epoch in (1, 2):
        rules.observe(epoch, {}, 25.0)
        rules.add_seconds(25.0)
        assert rules.stop is None
    resumed.load_state_dict(rules.state_dict(), epochs=20)
    resumed.observe(3, {}, 9.0)
    assert resumed.stop is None
    resumed.observe(3, {}, 11.0)
    assert resumed.stop == Stop("max_seconds", "it has trained for 61 of 60 seconds")


def ended_state(config: TrainConfig) -> dict[str, Any]:
    rules = StopRules(config)
    for epoch, value in enumerate([0.5, 0.4, 0.4], start=1):
        rules.observe(epoch, {"val_acc": value}, 1.0)
        rules.add_seconds(1.0)
    assert rules.stop is not None
    state = rules.state_dict()
    assert state is not None
    return state


def test_an_ended_training_stays_ended_under_the_same_config(tiny_config: MakeConfig) -> None:
    config = early(tiny_config, patience=2)
    rules = StopRules(config)
    rules.load_state_dict(ended_state(config), epochs=20)
    assert rules.stop is not None
    assert rules.restarted is None


def test_more_patience_continues_the_count(tiny_config: MakeConfig) -> None:
    rules = StopRules(early(tiny_config, patience=3))
    rules.load_state_dict(ended_state(early(tiny_config, patience=2)), epochs=20)
    assert rules.stop is None
    rules.observe(4, {"val_acc": 0.4}, 1.0)
    assert rules.stop is not None


def test_more_epochs_start_the_count_anew_and_say_so(tiny_config: MakeConfig) -> None:
    rules = StopRules(early(tiny_config, epochs=30, patience=2))
    rules.load_state_dict(ended_state(early(tiny_config, patience=2)), epochs=20)
    assert rules.stop is None
    assert rules.restarted == (
        "training.early_stopping had ended this training: val_acc has not risen for 2 epochs, "
        "from 0.5000 at epoch 1; it counts anew for the additional epochs"
    )
    rules.observe(4, {"val_acc": 0.3}, 1.0)
    rules.observe(5, {"val_acc": 0.3}, 1.0)
    assert rules.stop is None
    rules.observe(6, {"val_acc": 0.3}, 1.0)
    assert rules.stop is not None


def test_another_metric_is_not_compared_with_the_old_one(tiny_config: MakeConfig) -> None:
    state = ended_state(early(tiny_config, patience=2))
    rules = StopRules(early(tiny_config, patience=2, monitor="val_loss"))
    rules.load_state_dict(state, epochs=20)
    rules.observe(4, {"val_loss": 2.0}, 1.0)
    assert rules.stop is None


def test_a_training_without_a_rule_saves_nothing(tiny_trainer: MakeTrainer) -> None:
    assert "stopping" not in tiny_trainer().state_dict()["resume_state"]


def test_the_metric_must_be_measured(tiny_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=r"early_stopping.monitor: .*add this line"):
        early(tiny_config, patience=2, monitor="val_f1_macro")
    with pytest.raises(ConfigError, match='found "val_los"; did you mean "val_loss"'):
        early(tiny_config, patience=2, monitor="val_los")


def test_the_row_of_the_last_epoch_has_the_reason_and_the_test_set(
    tiny_trainer: MakeTrainer,
) -> None:
    trainer = tiny_trainer(
        training={"epochs": 9, "early_stopping": {"patience": 1, "min_delta": 1.0}}
    )
    first, second = trainer.run_epoch(), trainer.run_epoch()
    assert "stopped_by" not in first
    assert first["test_acc"] is None
    assert second["stopped_by"] == "early_stopping"
    assert second["stop_reason"].startswith("val_acc has not risen by more than 1 for 1 epoch")
    assert second["test_acc"] is not None
    assert trainer.ended
    assert not trainer.done


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_resumed_training_ends_at_the_same_epoch(
    tiny_trainer: MakeTrainer, cut: int, without_times: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    sections = {"training": {"epochs": 9, "early_stopping": {"patience": 3, "min_delta": 1.0}}}
    whole, first, second = (tiny_trainer(**sections) for _ in range(3))
    rows = []
    while not whole.ended:
        rows.append(without_times(whole.run_epoch()))
    assert len(rows) == 4
    for _ in range(cut):
        first.run_epoch()
    second.load_state_dict(copy.deepcopy(to_cpu(first.state_dict())))
    for row in rows[cut:]:
        assert not second.ended
        assert without_times(second.run_epoch()) == row
    assert second.ended
