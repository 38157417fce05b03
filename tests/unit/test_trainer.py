"""One training in one object: its rows, its best epoch, and what a loaded state changes."""

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from trainable.checkpoint import to_cpu
from trainable.config import TrainConfig
from trainable.epoch import Score
from trainable.errors import CheckpointError
from trainable.seeding import stream_seed
from trainable.trainer import Trainer

MakeTrainer = Callable[..., Trainer]

KEYS = [
    "epoch", "train_loss", "train_acc", "val_loss", "val_acc", "test_loss", "test_acc", "best_acc",
    "lr", "epoch_s", "images_per_s", "peak_memory_gib", "device",
]  # fmt: skip


def learning_rate(trainer: Trainer) -> float:
    (group,) = trainer.optimizer.param_groups
    return group["lr"]


def scripted(trainer: Trainer, accuracies: list[float]) -> list[dict[str, Any]]:
    """The rows of a training whose validation accuracies are given."""
    script = iter(accuracies)

    def score(split: str) -> Score:
        return Score(loss=1.0, acc=next(script) if split == "val" else 0.0)

    trainer.score = score
    return [trainer.run_epoch() for _ in accuracies]


def saved(trainer: Trainer) -> dict[str, Any]:
    """A copy of a training's state that its further epochs do not touch."""
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


# ------------------------------------------------------------------------------- rows


def test_a_row_has_plain_values_in_the_units_it_says(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer()
    images = []
    row = trainer.run_epoch(on_batch=images.append)
    assert list(row) == KEYS
    assert row["epoch"] == 1
    assert row["device"] == "cpu"
    assert row["peak_memory_gib"] is None
    assert row["lr"] == 0.1
    assert {type(row[key]) for key in KEYS[1:5]} == {float}
    for accuracy in ("train_acc", "val_acc", "best_acc"):
        assert 0 < row[accuracy] <= 1
    # Untrained, ten classes cost about ln 10 an image; a sum over a batch would be hundreds.
    assert 1 < row["train_loss"] < 3
    assert row["epoch_s"] > 0
    trained = trainer.source.size("train")
    assert sum(images) == trained
    assert row["images_per_s"] > trained / row["epoch_s"]


def test_the_test_set_is_looked_at_every_test_frequency_and_at_the_end(
    tiny_trainer: MakeTrainer,
) -> None:
    trainer = tiny_trainer(training={"epochs": 5, "test_frequency": 2})
    rows = [trainer.run_epoch() for _ in range(5)]
    looked = [row["epoch"] for row in rows if row["test_acc"] is not None]
    assert looked == [2, 4, 5]
    assert [row["test_loss"] is None for row in rows] == [True, False, True, False, False]


def test_without_a_val_split_the_test_set_decides(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer(dataset={"val_split": None})
    row = trainer.run_epoch()
    assert (row["val_acc"], row["val_loss"]) == (row["test_acc"], row["test_loss"])
    assert row["best_acc"] == row["test_acc"]


def test_the_score_of_a_split_is_the_one_in_the_row(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer(training={"epochs": 1})
    row = trainer.run_epoch()
    val, test = trainer.score("val"), trainer.score("test")
    assert (val.loss, val.acc) == (row["val_loss"], row["val_acc"])
    assert (test.loss, test.acc) == (row["test_loss"], row["test_acc"])


def test_a_training_learns_and_ends(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer(training={"epochs": 8, "batch_size": 64})
    rows = []
    while not trainer.done:
        rows.append(trainer.run_epoch())
    assert [row["epoch"] for row in rows] == list(range(1, 9))
    assert rows[-1]["val_acc"] > 0.8
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]


def test_the_learning_rate_of_a_row_is_the_one_it_was_trained_with(
    tiny_trainer: MakeTrainer,
) -> None:
    trainer = tiny_trainer(scheduler={"name": "step", "step_size": 1, "gamma": 0.5})
    used = []
    for _ in range(3):
        used.append(learning_rate(trainer))
        assert trainer.run_epoch()["lr"] == used[-1]
    assert used == [0.1, 0.05, 0.025]


def test_a_loss_that_is_not_finite_is_divergence(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer(optimizer={"name": "sgd", "learning_rate": 1e30})
    assert not trainer.diverged
    trainer.run_epoch()
    assert trainer.diverged


# --------------------------------------------------------------------------- best_acc


def test_the_best_is_the_first_of_equals(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer(training={"epochs": 6})
    rows = []
    improved = []
    for accuracy in (0.3, 0.5, 0.5, 0.4, 0.6):
        rows += scripted(trainer, [accuracy])
        improved.append(trainer.improved)
    assert [row["best_acc"] for row in rows] == [0.3, 0.5, 0.5, 0.5, 0.6]
    assert improved == [True, True, False, False, True]
    assert trainer.best_epoch == 5


def test_a_first_epoch_that_gets_nothing_right_is_the_best_so_far(
    tiny_trainer: MakeTrainer,
) -> None:
    trainer = tiny_trainer()
    assert not trainer.improved
    scripted(trainer, [0.0])
    assert trainer.improved
    assert trainer.best_epoch == 1


def test_the_best_survives_a_resume(tiny_trainer: MakeTrainer) -> None:
    first = tiny_trainer(training={"epochs": 6})
    scripted(first, [0.5, 0.4])
    second = tiny_trainer(training={"epochs": 6})
    second.load_state_dict(first.state_dict())
    assert (second.best_acc, second.best_epoch, second.improved) == (0.5, 1, False)
    rows = scripted(second, [0.5, 0.6])
    assert [row["best_acc"] for row in rows] == [0.5, 0.6]
    assert second.best_epoch == 4


# ---------------------------------------------------------------------------- notices


def test_nothing_is_noticed_but_the_cpu(tiny_trainer: MakeTrainer) -> None:
    assert tiny_trainer().notices == ["no CUDA device: training on the CPU"]


def test_mixed_precision_and_a_missing_split_are_noticed(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer(amp={"enabled": True}, dataset={"val_split": None})
    assert trainer.notices == [
        "no CUDA device: training on the CPU",
        "amp.enabled has no effect without CUDA: mixed precision is off",
        "no dataset.val_split: val_acc and best.pt are decided on the test set",
    ]
    assert "scaler_state_dict" not in trainer.state_dict()
    assert trainer.run_epoch()["train_loss"] > 0


# ------------------------------------------------------------------------- randomness


def test_a_seeded_training_is_the_same_whatever_ran_before(
    tiny_trainer: MakeTrainer,
    assert_same: Callable[[Any, Any], None],
    without_times: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    def trained() -> tuple[list[dict[str, Any]], Any]:
        trainer = tiny_trainer(model={"name": "tiny_models:dropout_cnn"})
        rows = [without_times(trainer.run_epoch()) for _ in range(2)]
        return rows, to_cpu(trainer.state_dict())

    first = trained()
    random.seed(5)
    np.random.seed(6)
    torch.manual_seed(7)
    tiny_trainer(dataset={"val_split": 0.5}, seed={"value": 3}).run_epoch()
    assert_same(trained(), first)


def test_seeds_and_epochs_have_streams_of_their_own() -> None:
    seeds = {stream_seed(seed, epoch) for seed in range(50) for epoch in range(50)}
    assert len(seeds) == 2500
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert 0 <= stream_seed(2**63 - 1, 10**6) < 2**63


def test_without_a_seed_two_trainings_differ(tiny_trainer: MakeTrainer) -> None:
    first, second = (tiny_trainer(seed={"enabled": False}) for _ in range(2))
    assert first.state_dict()["resume_state"] != second.state_dict()["resume_state"]
    assert first.run_epoch()["train_loss"] != second.run_epoch()["train_loss"]


def test_deterministic_algorithms_are_a_matter_of_each_training(
    tiny_trainer: MakeTrainer,
) -> None:
    tiny_trainer(seed={"deterministic": True}).run_epoch()
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    tiny_trainer()
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark


# ---------------------------------------------------------------------------- loading


def test_a_loaded_state_is_the_saved_one(
    tiny_trainer: MakeTrainer, assert_same: Callable[[Any, Any], None]
) -> None:
    first, second = tiny_trainer(), tiny_trainer(seed={"value": 9})
    first.run_epoch()
    state = saved(first)
    second.load_state_dict(state)
    found = second.state_dict()
    for part in ("model_state_dict", "optimizer_state_dict", "scheduler_state_dict"):
        assert_same(dict(found[part]), dict(state[part]))
    assert (found["epoch"], found["best_acc"]) == (state["epoch"], state["best_acc"])


def test_by_default_the_hyperparameters_of_the_checkpoint_hold(tiny_trainer: MakeTrainer) -> None:
    donor = tiny_trainer(optimizer={"momentum": 0.5, "weight_decay": 0.01})
    donor.run_epoch()
    recipient = tiny_trainer(optimizer={"learning_rate": 0.3, "momentum": 0.9})
    recipient.load_state_dict(donor.state_dict())
    (group,) = recipient.optimizer.param_groups
    assert (group["momentum"], group["weight_decay"]) == (0.5, 0.01)
    assert group["lr"] == learning_rate(donor)


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
    recipient.load_state_dict(state, own=("optimizer.learning_rate", "optimizer.momentum"))
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
    recipient.load_state_dict(donor.state_dict(), own=["optimizer.betas"])
    (group,) = recipient.optimizer.param_groups
    assert (group["betas"], group["eps"]) == ((0.8, 0.9), 1e-6)
    assert group["lr"] == learning_rate(donor)


def test_own_keys_of_other_sections_leave_the_optimizer_alone(tiny_trainer: MakeTrainer) -> None:
    donor = tiny_trainer(optimizer={"momentum": 0.5})
    donor.run_epoch()
    recipient = tiny_trainer(training={"batch_size": 128})
    recipient.load_state_dict(donor.state_dict(), own=["training.batch_size"])
    assert recipient.optimizer.param_groups[0]["momentum"] == 0.5


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
    assert (second.epoch, second.best_acc) == (1, first.best_acc)


def refusal(trainer: Trainer, state: dict[str, Any]) -> str:
    with pytest.raises(CheckpointError) as caught:
        trainer.load_state_dict(state)
    return str(caught.value)


def test_another_model_is_refused_with_what_does_not_fit(tiny_trainer: MakeTrainer) -> None:
    donor = tiny_trainer(model={"name": "tiny_models:dropout_cnn"})
    donor.run_epoch()
    text = refusal(tiny_trainer(), donor.state_dict())
    assert text.startswith(
        "the checkpoint is of tiny_models:dropout_cnn with sgd, "
        "which does not fit tiny_models:mlp with sgd: "
    )
    assert "Missing key(s)" in text
    assert "\n" not in text


def test_another_number_of_classes_is_refused(tiny_trainer: MakeTrainer) -> None:
    donor = tiny_trainer(model={"num_classes": 12})
    assert "size mismatch" in refusal(tiny_trainer(), donor.state_dict())


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
    found = SimpleNamespace(**tiny_trainer().state_dict()["config"]["model"])
    assert (found.num_classes, found.in_channels) == (10, 1)
