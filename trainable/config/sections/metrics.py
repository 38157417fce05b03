"""`metrics`: what an evaluation measures besides loss and accuracy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trainable.config.names import suggestion
from trainable.config.own_code import is_own_code

Mode = Literal["max", "min"]

TOP_K = {"top2": 2, "top3": 3, "top5": 5, "top10": 10}
"""Name of a top-k accuracy -> k."""
FRACTIONS = (
    *TOP_K,
    *("balanced_accuracy", "f1_macro", "f1_weighted", "precision_macro"),
    *("auroc", "average_precision"),
)
"""Built-in metrics in [0, 1]; the larger, the better."""
CORRELATIONS = ("kappa", "mcc")
"""Built-in metrics in [-1, 1]; the larger, the better."""
SCORES = (*FRACTIONS, *CORRELATIONS)
"""Built-in metrics that are one number."""
PER_CLASS = ("recall_per_class", "confusion_matrix")
"""Built-in metrics that are a number for every class, or for every pair of classes."""
METRIC_NAMES = (*SCORES, *PER_CLASS)

ALWAYS_MEASURED: dict[str, Mode] = {"val_acc": "max", "val_loss": "min"}
"""Column of an epoch's row that every evaluation fills and `checkpoint.monitor` may name."""
VALIDATION = "val_"
"""Begins the columns of the metrics that decide."""

_OWN = re.compile(r"(?P<code>\w+(\.\w+)*:(\w+\.)*(?P<name>\w+))(:(?P<mode>max|min))?")
_TAKEN = {"acc", "loss", *METRIC_NAMES}


@dataclass(frozen=True)
class Score:
    """A metric that is one number."""

    name: str
    """Its column without `val_` or `test_`."""
    mode: Mode
    code: str | None = None
    """`module:callable` of a metric of the user's own."""


def list_scores(metrics: Sequence[str]) -> list[Score]:
    """Returns those of a config's `metrics` that are one number.

    Args:
        metrics: Valid names.
    """
    return [parse_score(name) for name in metrics if name not in PER_CLASS]


def parse_score(name: str) -> Score:
    """Returns the metric of a name of `metrics`, which is not one for every class.

    Raises:
        ValueError: There is no such metric; the text has the nearest one.
    """
    if name in SCORES:
        return Score(name, "max")
    own = _OWN.fullmatch(name)
    if own is not None:
        return Score(own["name"], "min" if own["mode"] == "min" else "max", own["code"])
    if is_own_code(name):
        rule = "must be module:callable, or module:callable:min where lower values are better"
        raise ValueError(f'{rule}, found "{name}"')
    hint = suggestion(name.removeprefix(VALIDATION), METRIC_NAMES)
    raise ValueError(f'unknown name, found "{name}"{hint}')


def monitorable(metrics: Sequence[str]) -> dict[str, Mode]:
    """Returns the columns that can decide which epoch is the best, each with its mode.

    Args:
        metrics: The config's `metrics`, valid names.
    """
    own = {VALIDATION + score.name: score.mode for score in list_scores(metrics)}
    return {**ALWAYS_MEASURED, **own}


def stop_modes(metrics: Sequence[str]) -> dict[str, Mode]:
    """Returns the columns that `training.early_stopping` can watch, each with its mode.

    Args:
        metrics: The config's `metrics`, valid names.
    """
    return {"train_loss": "min", "train_acc": "max", **monitorable(metrics)}


def check_metrics(metrics: Sequence[str]) -> None:
    """Checks the names of `metrics`.

    Raises:
        ValueError: A name is unknown, is given twice or is that of another column.
    """
    names = []
    for metric in metrics:
        score = None if metric in PER_CLASS else parse_score(metric)
        if score is not None and score.code is not None and score.name in _TAKEN:
            raise ValueError(f'"{metric}" must have another name: there is a {score.name} already')
        names.append(metric if score is None else score.name)
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ValueError(f"must name every metric once, found twice: {', '.join(twice)}")


def explain_unmeasured(column: str, metrics: Sequence[str], others: Sequence[str] = ()) -> str:
    """Returns what is wrong with a column that a config does not measure, with the remedy.

    Args:
        column: For example `val_f1_macro`.
        metrics: The config's `metrics`, valid names.
        others: More columns that there could be in its place.
    """
    name = column.removeprefix(VALIDATION)
    if column.startswith(VALIDATION) and name in SCORES:
        line = f"metrics: [{', '.join([*metrics, name])}]"
        return f'"{column}" is not measured; add this line to the training config: {line}'
    measured = dict.fromkeys([*others, *monitorable(metrics)])
    names = [*measured, *(VALIDATION + score for score in SCORES)]
    hint = suggestion(column, names)
    return f'unknown name, found "{column}"{hint} (measured: {", ".join(measured)})'
