"""A resumed training equals the uninterrupted one, bit for bit on the CPU, for every cut.

For every optimizer and every schedule, at every cut, through the real checkpoint file.
"""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainable.artifacts.checkpoint import read_checkpoint, to_cpu, write_checkpoint
from trainable.training.trainer import Trainer

EPOCHS = 4
QUICKER = {"val_split": 0.6}
"""Section `dataset`: fewer images to train on."""

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"name": "sgd", "learning_rate": 0.1, "weight_decay": 1e-3},
    "sgd_plain": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.0},
    "sgd_nesterov": {"name": "sgd", "learning_rate": 0.1, "nesterov": True},
    "adam": {"name": "adam", "learning_rate": 0.01, "weight_decay": 1e-3},
    "adamw": {"name": "adamw", "learning_rate": 0.01, "betas": [0.8, 0.95]},
}

# Each of them changes the learning rate within the four epochs, after the first cut.
SCHEDULES: dict[str, dict[str, Any]] = {
    "none": {"name": "none", "warmup_epochs": 2},
    "cosine": {"name": "cosine"},
    "cosine_warmup": {"name": "cosine", "warmup_epochs": 2, "eta_min": 1e-4},
    "step": {"name": "step", "step_size": 2, "gamma": 0.5},
    "multistep": {"name": "multistep", "milestones": [1, 3]},
    "exponential": {"name": "exponential", "gamma": 0.7, "warmup_epochs": 1},
    "plateau_max": {"name": "plateau", "patience": 0, "factor": 0.5, "min_lr": 0},
    "plateau_min": {
        "name": "plateau",
        "mode": "min",
        "patience": 0,
        "factor": 0.5,
        "min_lr": 0,
    },
}

QUICK = {
    *(("adamw", schedule) for schedule in SCHEDULES),
    *((optimizer, "cosine_warmup") for optimizer in OPTIMIZERS),
}
"""Pairs that the default run tries: every optimizer and every schedule."""

STANDING_STILL = {"learning_rate": 1e-6}
"""So slow that no epoch counts as better, and `plateau` reduces the learning rate."""


def assert_every_cut_resumes(
    make: Callable[[], Trainer],
    directory: Path,
    assert_same: Callable[[Any, Any], None],
    without_times: Callable[[dict[str, Any]], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Trains once without interruption, saving every epoch, then again from every save."""
    trainer = make()
    rows = []
    for epoch in range(1, EPOCHS + 1):
        rows.append(without_times(trainer.run_epoch()))
        write_checkpoint(trainer.state_dict(), [directory / f"{epoch}.pt"])
    end = read_checkpoint(directory / f"{EPOCHS}.pt")
    for cut in range(1, EPOCHS):
        resumed = make()
        resumed.load_state_dict(read_checkpoint(directory / f"{cut}.pt"))
        # Another training in between; its effects on the process must not matter.
        make().run_epoch()
        assert_same([without_times(resumed.run_epoch()) for _ in range(cut, EPOCHS)], rows[cut:])
        assert_same(to_cpu(resumed.state_dict()), end)
    return rows


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [
        pytest.param(*pair, marks=[] if pair in QUICK else pytest.mark.slow)
        for pair in itertools.product(OPTIMIZERS, SCHEDULES)
    ],
)
def test_every_optimizer_and_schedule_resumes_bit_equal_at_every_cut(
    optimizer: str,
    schedule: str,
    tmp_path: Path,
    tiny_trainer: Callable[..., Trainer],
    assert_same: Callable[[Any, Any], None],
    without_times: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    slow = STANDING_STILL if schedule.startswith("plateau") else {}

    def make() -> Trainer:
        return tiny_trainer(
            optimizer={**OPTIMIZERS[optimizer], **slow},
            dataset=QUICKER,
            scheduler=SCHEDULES[schedule],
            training={"epochs": EPOCHS, "batch_size": 100, "test_frequency": 2},
        )

    rows = assert_every_cut_resumes(make, tmp_path, assert_same, without_times)
    assert len({row["lr"] for row in rows[1:]}) > 1


@pytest.mark.parametrize("optimizer", ["adamw", pytest.param("sgd", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"dataset": {"val_split": None}},
        {"seed": {"deterministic": True}},
        {"training": {"accumulation_steps": 4}},
        pytest.param(
            {"loss": {"name": "cross_entropy", "label_smoothing": 0.1}}, marks=pytest.mark.slow
        ),
    ],
    ids=["plain", "no_val_split", "deterministic", "accumulation", "label_smoothing"],
)
def test_dropout_batch_norm_and_augmentation_resume_bit_equal_at_every_cut(
    optimizer: str,
    sections: dict[str, dict[str, Any]],
    tmp_path: Path,
    tiny_trainer: Callable[..., Trainer],
    assert_same: Callable[[Any, Any], None],
    without_times: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    training = {"epochs": EPOCHS, "batch_size": 100, **sections.get("training", {})}

    def make() -> Trainer:
        return tiny_trainer(
            **{
                "dataset": QUICKER,
                **sections,
                "model": {"name": "tiny_models:dropout_cnn"},
                "optimizer": OPTIMIZERS[optimizer],
                "training": training,
            }
        )

    rows = assert_every_cut_resumes(make, tmp_path, assert_same, without_times)
    assert rows[-1]["val_acc"] > rows[0]["val_acc"]


RECIPES: dict[str, dict[str, Any]] = {
    "focal": {
        "loss": {"name": "focal", "weight": "balanced"},
        "training": {"sampler": "balanced", "early_stopping": {"patience": 3}},
    },
    "mixed": {
        "loss": {"name": "cross_entropy", "weight": "balanced", "label_smoothing": 0.1},
        "training": {"sampler": "balanced", "early_stopping": {"patience": 3}},
        "augment": {"mixup": {"alpha": 0.4}},
    },
    "own_loss": {
        "loss": {"name": "own_losses:noisy"},
        "training": {"early_stopping": {"patience": 3, "monitor": "train_loss"}},
    },
}


@pytest.mark.parametrize(
    "recipe", ["focal", pytest.param("mixed", marks=pytest.mark.slow), "own_loss"]
)
def test_averaged_weights_losses_and_balanced_draws_resume_bit_equal_at_every_cut(
    recipe: str,
    tmp_path: Path,
    tiny_trainer: Callable[..., Trainer],
    assert_same: Callable[[Any, Any], None],
    without_times: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    sections = RECIPES[recipe]
    training = {"epochs": EPOCHS, "batch_size": 100, **sections["training"]}

    def make() -> Trainer:
        return tiny_trainer(
            **{
                **sections,
                "dataset": QUICKER,
                "model": {"name": "tiny_models:dropout_cnn"},
                "ema": {"enabled": True, "decay": 0.9},
                "training": training,
            }
        )

    rows = assert_every_cut_resumes(make, tmp_path, assert_same, without_times)
    assert rows[-1]["val_acc"] > rows[0]["val_acc"]


@pytest.mark.slow
def test_a_built_in_model_resumes_bit_equal(
    tmp_path: Path,
    tiny_trainer: Callable[..., Trainer],
    assert_same: Callable[[Any, Any], None],
    without_times: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    def make() -> Trainer:
        return tiny_trainer(model={"name": "resnet20"}, training={"epochs": 2, "batch_size": 512})

    trainer = make()
    trainer.run_epoch()
    write_checkpoint(trainer.state_dict(), [tmp_path / "latest.pt"])
    row = without_times(trainer.run_epoch())
    resumed = make()
    resumed.load_state_dict(read_checkpoint(tmp_path / "latest.pt"))
    assert_same(without_times(resumed.run_epoch()), row)
    assert_same(to_cpu(resumed.state_dict()), to_cpu(trainer.state_dict()))


def test_a_chain_of_resumes_after_every_epoch_is_one_training(
    tmp_path: Path,
    tiny_trainer: Callable[..., Trainer],
    assert_same: Callable[[Any, Any], None],
    without_times: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    def make() -> Trainer:
        return tiny_trainer(
            dataset=QUICKER,
            model={"name": "tiny_models:dropout_cnn"},
            training={"epochs": EPOCHS},
        )

    whole = make()
    rows = [without_times(whole.run_epoch()) for _ in range(EPOCHS)]
    path = tmp_path / "latest.pt"
    write_checkpoint(make().state_dict(), [path])
    for row in rows:
        part = make()
        part.load_state_dict(read_checkpoint(path))
        assert_same(without_times(part.run_epoch()), row)
        write_checkpoint(part.state_dict(), [path])
    assert_same(read_checkpoint(path), to_cpu(whole.state_dict()))
