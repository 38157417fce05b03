"""The columns that the config's `metrics` add to a row."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sklearn.metrics import f1_score

from trainable.config import TrainConfig
from trainable.errors import TuneSweepsError
from trainable.metrics import collector
from trainable.training.trainer import Trainer

MakeTrainer = Callable[..., Trainer]
METRICS = ["f1_macro", "top3", "recall_per_class", "confusion_matrix"]


def test_the_columns_are_those_of_the_splits_predictions(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer(metrics=METRICS, training={"epochs": 2, "test_frequency": 2})
    rows = [trainer.run_epoch(), trainer.run_epoch()]
    assert [row["test_f1_macro"] is None for row in rows] == [True, False]
    assert set(rows[0]["per_class"]) == {"val_recall_per_class", "val_confusion_matrix"}
    trainer.model.eval()
    for split in ("val", "test"):
        labels, predictions = [], []
        for images, targets in trainer.source.eval_batches(split, 64):
            with torch.inference_mode():
                predictions.append(trainer.model(images).argmax(1))
            labels.append(targets)
        truth, predicted = torch.cat(labels), torch.cat(predictions)
        f1 = f1_score(truth.numpy(), predicted.numpy(), average="macro")
        assert rows[1][f"{split}_f1_macro"] == pytest.approx(f1)
        matrix = torch.tensor(rows[1]["per_class"][f"{split}_confusion_matrix"])
        assert matrix.sum() == len(truth)
        accuracy = matrix.diagonal().sum() / matrix.sum()
        assert rows[1][f"{split}_acc"] == pytest.approx(accuracy.item())


def test_metrics_of_the_average_are_those_of_the_weights_that_are_saved(
    tiny_trainer: MakeTrainer,
) -> None:
    sections = {"metrics": ["f1_macro"], "training": {"epochs": 1}}
    trainer = tiny_trainer(ema={"enabled": True, "decay": 0.5}, **sections)
    row = trainer.run_epoch()
    plain = tiny_trainer(**sections)
    plain.model.load_state_dict(trainer.state_dict()["model_state_dict"])
    assert plain.score("test").measured.scores["f1_macro"] == row["test_f1_macro"]


def test_metrics_do_not_change_the_training(tiny_trainer: MakeTrainer) -> None:
    plain, measured = tiny_trainer(), tiny_trainer(metrics=METRICS)
    rows = plain.run_epoch(), measured.run_epoch()
    assert rows[0]["train_loss"] == rows[1]["train_loss"]
    for name, weights in plain.model.state_dict().items():
        assert torch.equal(weights, measured.model.state_dict()[name])
    assert not [name for name in rows[0] if "f1" in name or name == "per_class"]


def test_a_pass_whose_loss_is_not_finite_has_no_metrics(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer(
        metrics=METRICS,
        optimizer={"name": "sgd", "learning_rate": 1e30},
        checkpoint={"monitor": "val_f1_macro"},
    )
    row = trainer.run_epoch()
    assert (row["val_f1_macro"], row["best_f1_macro"], row["best_epoch"]) == (None, None, 0)
    assert "per_class" not in row


def test_a_note_says_that_a_large_split_is_counted(
    tiny_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "MAX_LOGITS_BYTES", 0)
    assert [n for n in tiny_trainer(metrics=["auroc"]).notices if "histograms" in n]
    assert not [n for n in tiny_trainer(metrics=["f1_macro"]).notices if "histograms" in n]


def test_an_own_metric_needs_permission(tiny_config: Callable[..., TrainConfig]) -> None:
    config = tiny_config(model={"name": "cnv"}, metrics=["own_metrics:Brier:min"])
    with pytest.raises(TuneSweepsError, match=r'metrics "own_metrics:Brier" is code of your own'):
        Trainer(config)


@pytest.mark.parametrize("name", ["own_metrics:Brier:min", "own_metrics:make_brier:min"])
def test_an_own_metric_is_a_column(tiny_trainer: MakeTrainer, name: str) -> None:
    assert str(Path(__file__).parents[3] / "support") in sys.path
    trainer = tiny_trainer(metrics=[name], checkpoint={"monitor": f"val_{name.split(':')[1]}"})
    rows = [trainer.run_epoch(), trainer.run_epoch()]
    column = f"val_{name.split(':')[1]}"
    assert 0 < rows[1][column] < rows[0][column] < 2
    assert rows[1]["best_epoch"] == 2
