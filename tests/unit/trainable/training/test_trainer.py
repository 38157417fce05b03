"""`Trainer`: its metrics, best epoch, notices and random numbers."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from trainable.artifacts.checkpoint import to_cpu
from trainable.augment.streams import stream_seed
from trainable.training.epoch import Score, Steps
from trainable.training.trainer import Trainer

MakeTrainer = Callable[..., Trainer]

KEYS = [
    "epoch", "train_loss", "train_acc", "val_loss", "val_acc", "test_loss", "test_acc", "best_acc",
    "best_epoch", "lr", "epoch_s", "images_per_s", "peak_memory_gib", "device", "cuda_graph",
]  # fmt: skip


def learning_rate(trainer: Trainer) -> float:
    (group,) = trainer.optimizer.param_groups
    return group["lr"]


def scripted(trainer: Trainer, accuracies: list[float]) -> list[dict[str, Any]]:
    """Returns the rows of a training with the given validation accuracies."""
    script = iter(accuracies)

    def one_pass(split: str) -> Steps[Score]:
        yield 0
        return Score(loss=1.0, acc=next(script) if split == "val" else 0.0)

    trainer._score_split = one_pass
    return [trainer.run_epoch() for _ in accuracies]


# ------------------------------------------------------------------------------- rows


def test_a_row_has_plain_values_in_the_units_it_says(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer()
    images = []
    row = trainer.run_epoch(on_batch=images.append)
    assert list(row) == KEYS
    assert row["epoch"] == 1
    assert row["device"] == "cpu"
    assert row["peak_memory_gib"] is None
    assert row["cuda_graph"] == "no CUDA device"
    assert row["lr"] == 0.1
    assert {type(row[key]) for key in KEYS[1:5]} == {float}
    for accuracy in ("train_acc", "val_acc", "best_acc"):
        assert 0 < row[accuracy] <= 1
    # An untrained model of ten classes loses about ln 10 per image, a sum over a batch hundreds.
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


def test_an_epoch_that_diverged_is_never_the_best(tiny_trainer: MakeTrainer) -> None:
    """Its accuracy is the share of the first class, which may exceed that of a good epoch."""
    trainer = tiny_trainer(optimizer={"name": "sgd", "learning_rate": 1e30})
    row = trainer.run_epoch()
    assert row["val_acc"] > 0
    assert (row["best_acc"], trainer.best.epoch, trainer.improved) == (0.0, 0, False)


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
    assert trainer.best.epoch == 5


def test_a_first_epoch_that_gets_nothing_right_is_the_best_so_far(
    tiny_trainer: MakeTrainer,
) -> None:
    trainer = tiny_trainer()
    assert not trainer.improved
    scripted(trainer, [0.0])
    assert trainer.improved
    assert trainer.best.epoch == 1


def test_the_best_survives_a_resume(tiny_trainer: MakeTrainer) -> None:
    first = tiny_trainer(training={"epochs": 6})
    scripted(first, [0.5, 0.4])
    second = tiny_trainer(training={"epochs": 6})
    second.load_state_dict(first.state_dict())
    assert (second.best.acc, second.best.epoch, second.improved) == (0.5, 1, False)
    rows = scripted(second, [0.5, 0.6])
    assert [row["best_acc"] for row in rows] == [0.5, 0.6]
    assert second.best.epoch == 4


# ---------------------------------------------------------------------------- notices


def test_the_only_notice_is_about_the_cpu(tiny_trainer: MakeTrainer) -> None:
    assert tiny_trainer().notices == ["no CUDA device: training on the CPU"]


def test_there_are_notices_about_mixed_precision_and_a_missing_split(
    tiny_trainer: MakeTrainer,
) -> None:
    trainer = tiny_trainer(amp={"enabled": True}, dataset={"val_split": None})
    assert trainer.notices == [
        "no CUDA device: training on the CPU",
        "amp.enabled has no effect without CUDA: mixed precision is off",
        "no dataset.val_split or folds: val_acc and best.pt are decided on the test set",
    ]
    assert "scaler_state_dict" not in trainer.state_dict()
    assert trainer.run_epoch()["train_loss"] > 0


# ------------------------------------------------------------------------- randomness


def test_a_seeded_training_does_not_depend_on_earlier_work(
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


def test_deterministic_algorithms_are_set_per_training(
    tiny_trainer: MakeTrainer,
) -> None:
    tiny_trainer(seed={"deterministic": True}).run_epoch()
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    tiny_trainer()
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark


# ------------------------------------------------------------------------------ compile


def test_a_compiled_model_keeps_the_keys_of_its_state(tiny_trainer: MakeTrainer) -> None:
    plain, compiled = tiny_trainer(), tiny_trainer(training={"compile": True})
    assert plain.compiled is None
    assert compiled.compiled is not None
    assert list(compiled.model.state_dict()) == list(plain.model.state_dict())


@pytest.mark.slow
def test_a_compiled_training_learns_what_a_plain_one_does(tiny_trainer: MakeTrainer) -> None:
    plain, compiled = tiny_trainer(), tiny_trainer(training={"compile": True})
    rows = [trainer.run_epoch() for trainer in (plain, compiled)]
    assert rows[1]["train_loss"] == pytest.approx(rows[0]["train_loss"], rel=1e-3)
