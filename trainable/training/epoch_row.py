"""The columns of an epoch's row that hold what its evaluations have measured."""

from __future__ import annotations

from trainable.artifacts.metrics import ACCURACY, PER_CLASS_KEY, Row, best_column
from trainable.training.best_epoch import BestEpoch
from trainable.training.epoch import Score


def evaluation_columns(val: Score, test: Score | None) -> Row:
    """Returns loss, accuracy and the config's `metrics` of the splits.

    Args:
        val: Of the split that decides.
        test: Of the test set; None if it was not due.
    """
    columns: Row = {
        "val_loss": val.loss,
        ACCURACY: val.acc,
        "test_loss": None if test is None else test.loss,
        "test_acc": None if test is None else test.acc,
    }
    columns |= {f"val_{name}": value for name, value in val.measured.scores.items()}
    test_scores = dict.fromkeys(val.measured.scores) if test is None else test.measured.scores
    return columns | {f"test_{name}": value for name, value in test_scores.items()}


def class_columns(val: Score, test: Score | None) -> Row:
    """Returns the metrics that have a value for every class, under one key; often nothing."""
    splits = {"val": val, **({} if test is None else {"test": test})}
    columns = {
        f"{split}_{name}": values
        for split, score in splits.items()
        for name, values in score.measured.per_class.items()
    }
    return {PER_CLASS_KEY: columns} if columns else {}


def best_columns(best: BestEpoch) -> Row:
    """Returns the best accuracy, the best value of another monitored metric, and its epoch."""
    columns: Row = {"best_acc": best.acc}
    if best.monitor != ACCURACY:
        columns[best_column(best.monitor)] = best.value
    return {**columns, "best_epoch": best.epoch}
