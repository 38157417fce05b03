"""Loading a state into a trainer: what it changes, what it keeps, what it refuses."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trainable.config import TrainConfig
from trainable.errors import CheckpointError
from trainable.training.trainer import Trainer

MakeTrainer = Callable[..., Trainer]


def learning_rate(trainer: Trainer) -> float:
    (group,) = trainer.optimizer.param_groups
    return group["lr"]


def saved(trainer: Trainer) -> dict[str, Any]:
    """Copies a training's state, so that further epochs do not change it."""
    state = trainer.state_dict()
    state["model_state_dict"] = {k: v.clone() for k, v in state["model_state_dict"].items()}
    optimizer = state["optimizer_state_dict"]
    buffers = {
        index: {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in buffer.items()}
        for index, buffer in optimizer["state"].items()
    }
    groups = [dict(group) for group in optimizer["param_groups"]]
    state["optimizer_state_dict"] = {"state": buffers, "param_groups": groups}
    return state


def test_a_loaded_state_is_the_saved_one(
    tiny_trainer: MakeTrainer, assert_same: Callable[[Any, Any], None]
) -> None:
    first, second = tiny_trainer(), tiny_trainer(seed={"value": 9})
    first.run_epoch()
    state = saved(first)
    second.load_state_dict(state)
    actual = second.state_dict()
    for part in ("model_state_dict", "optimizer_state_dict", "scheduler_state_dict"):
        assert_same(dict(actual[part]), dict(state[part]))
    assert (actual["epoch"], actual["best_acc"]) == (state["epoch"], state["best_acc"])


def test_the_hyperparameters_are_the_configs_and_so_is_what_is_recorded(
    tiny_trainer: MakeTrainer,
) -> None:
    """The `.pt` and `config.yaml` say what was trained with."""
    donor = tiny_trainer(optimizer={"momentum": 0.5, "weight_decay": 0.01})
    donor.run_epoch()
    recipient = tiny_trainer(optimizer={"learning_rate": 0.3, "momentum": 0.9})
    recipient.load_state_dict(donor.state_dict())
    state = recipient.state_dict()
    (group,) = state["optimizer_state_dict"]["param_groups"]
    recorded = state["config"]["optimizer"]
    assert (group["momentum"], group["weight_decay"]) == (0.9, 0.0)
    assert (recorded["momentum"], recorded["weight_decay"]) == (0.9, 0.0)
    assert group["lr"] == pytest.approx(3 * learning_rate(donor), rel=1e-12)
    assert state["scheduler_state_dict"]["base_lr"] == recorded["learning_rate"] == 0.3


@pytest.mark.parametrize(
    "schedule",
    [
        {"name": "none"},
        {"name": "cosine"},
        {"name": "step", "step_size": 1, "gamma": 0.5},
        {"name": "multistep", "milestones": [1, 2]},
        {"name": "exponential", "gamma": 0.5},
        {"name": "plateau", "mode": "min", "factor": 0.5, "patience": 0},
        {"name": "cosine", "warmup_epochs": 2},
    ],
    ids=str,
)
def test_own_hyperparameters_win_and_the_schedule_keeps_its_position(
    tiny_trainer: MakeTrainer, schedule: dict[str, Any]
) -> None:
    training = {"epochs": 4}
    donor = tiny_trainer(scheduler=schedule, training=training, optimizer={"momentum": 0.5})
    for _ in range(2):
        donor.run_epoch()
    state = saved(donor)
    own = {"learning_rate": 0.2, "momentum": 0.8, "weight_decay": 0.001, "nesterov": True}
    recipient = tiny_trainer(scheduler=schedule, training=training, optimizer=own)
    recipient.load_state_dict(state)
    (group,) = recipient.optimizer.param_groups
    assert (group["momentum"], group["nesterov"]) == (0.8, True)
    assert group["weight_decay"] == 0.001
    # The donor's position and reductions at twice the donor's base rate.
    assert group["lr"] == pytest.approx(2 * learning_rate(donor), rel=1e-12)
    assert recipient.run_epoch()["lr"] == pytest.approx(2 * donor.run_epoch()["lr"], rel=1e-12)


def test_own_adam_hyperparameters_win(tiny_trainer: MakeTrainer) -> None:
    donor = tiny_trainer(optimizer={"name": "adam", "learning_rate": 0.01})
    donor.run_epoch()
    own = {"name": "adam", "learning_rate": 0.02, "betas": [0.8, 0.9], "eps": 1e-6}
    recipient = tiny_trainer(optimizer=own)
    recipient.load_state_dict(donor.state_dict())
    (group,) = recipient.optimizer.param_groups
    assert (group["betas"], group["eps"]) == ((0.8, 0.9), 1e-6)
    assert group["lr"] == pytest.approx(2 * learning_rate(donor), rel=1e-12)


def test_a_load_ends_divergence(tiny_trainer: MakeTrainer) -> None:
    good = tiny_trainer()
    good.run_epoch()
    diverged = tiny_trainer(optimizer={"learning_rate": 1e30})
    diverged.run_epoch()
    diverged.load_state_dict(good.state_dict())
    assert not diverged.diverged


def test_a_training_without_a_seed_resumes_with_the_seed_it_had(
    tiny_trainer: MakeTrainer,
    assert_same: Callable[[Any, Any], None],
    without_times: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    sections = {"seed": {"enabled": False}, "model": {"name": "tiny_models:dropout_cnn"}}
    first = tiny_trainer(**sections)
    first.run_epoch()
    state = saved(first)
    second = tiny_trainer(**sections)
    second.load_state_dict(state)
    rows = [[without_times(t.run_epoch()) for _ in range(2)] for t in (first, second)]
    assert_same(rows[1], rows[0])
    assert_same(dict(second.state_dict()), dict(first.state_dict()))


def test_a_seed_in_the_config_wins_over_the_checkpoint(tiny_trainer: MakeTrainer) -> None:
    first = tiny_trainer(seed={"value": 1})
    first.run_epoch()
    second = tiny_trainer(seed={"value": 2})
    second.load_state_dict(first.state_dict())
    assert second.state_dict()["resume_state"]["seed"] == 2


def test_a_state_with_the_documented_keys_alone_is_loaded(tiny_trainer: MakeTrainer) -> None:
    first, second = tiny_trainer(), tiny_trainer()
    first.run_epoch()
    state = first.state_dict()
    del state["resume_state"]
    second.load_state_dict(state)
    assert (second.epoch, second.best.acc) == (1, first.best.acc)


def refusal(trainer: Trainer, state: dict[str, Any]) -> str:
    with pytest.raises(CheckpointError) as caught:
        trainer.load_state_dict(state)
    return str(caught.value)


def test_another_model_is_refused_with_what_does_not_fit(tiny_trainer: MakeTrainer) -> None:
    donor = tiny_trainer(model={"name": "tiny_models:dropout_cnn"})
    donor.run_epoch()
    assert refusal(tiny_trainer(), donor.state_dict()) == (
        "model.name is tiny_models:dropout_cnn in the checkpoint and tiny_models:mlp in the "
        "config: its weights do not fit"
    )


def test_other_weights_of_the_same_model_are_refused_with_what_does_not_fit(
    tiny_trainer: MakeTrainer,
) -> None:
    """The user may have changed the code of a model of their own."""
    state = tiny_trainer().state_dict()
    del state["model_state_dict"]["1.weight"]
    text = refusal(tiny_trainer(), state)
    assert text.startswith(
        "the checkpoint is of tiny_models:mlp with sgd, "
        "which does not fit tiny_models:mlp with sgd: "
    )
    assert "Missing key(s)" in text
    assert "\n" not in text


def test_another_number_of_classes_is_refused(tiny_trainer: MakeTrainer) -> None:
    donor = tiny_trainer(model={"num_classes": 12})
    assert refusal(tiny_trainer(), donor.state_dict()) == (
        "model.num_classes is 12 in the checkpoint and 10 in the config: its weights do not fit"
    )


def test_another_optimizer_is_refused(tiny_trainer: MakeTrainer) -> None:
    donor = tiny_trainer(optimizer={"name": "adam", "learning_rate": 0.01})
    donor.run_epoch()
    text = refusal(tiny_trainer(), donor.state_dict())
    assert "optimizer.name: sgd, found adam" in text


def test_another_schedule_is_refused(tiny_trainer: MakeTrainer) -> None:
    donor = tiny_trainer(scheduler={"name": "none"})
    text = refusal(tiny_trainer(), donor.state_dict())
    assert "scheduler.name: cosine, found none" in text


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("optimizer_state_dict", {}),
        ("optimizer_state_dict", {"state": {}, "param_groups": 3}),
        ("model_state_dict", {"1.weight": "text"}),
        ("scheduler_state_dict", {}),
    ],
)
@pytest.mark.parametrize("config", [{}, {"model": "resnet20", "optimizer": None}])
def test_a_foreign_state_with_the_right_keys_is_refused(
    tiny_trainer: MakeTrainer, part: str, value: Any, config: dict[str, Any]
) -> None:
    state = {**tiny_trainer().state_dict(), part: value, "config": config}
    assert refusal(tiny_trainer(), state)


def test_the_config_of_a_training_is_complete(
    tiny_trainer: MakeTrainer, tiny_config: Callable[..., TrainConfig]
) -> None:
    given = tiny_config().model
    assert (given.num_classes, given.in_channels) == (None, None)
    actual = SimpleNamespace(**tiny_trainer().state_dict()["config"]["model"])
    assert (actual.num_classes, actual.in_channels) == (10, 1)
