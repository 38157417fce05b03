"""Own metrics are tried before the first training."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trainable.config import TrainConfig
from trainable.preflight.metrics import check_metrics
from trainable.preflight.shapes import DataShape, check_shapes

MakeConfig = Callable[..., TrainConfig]
DATA = DataShape(10, (1, 8, 8))


def test_good_metrics_have_no_problem(tiny_config: MakeConfig) -> None:
    config = tiny_config(metrics=["f1_macro", "own_metrics:Brier:min", "confusion_matrix"])
    assert check_metrics(config, DATA) == []


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("own_metrics:Brier", ": lower values of it are better (its higher_is_better says so); "
         "write own_metrics:Brier:min"),
        ("own_metrics:PerClass:min", " must be one number, found shape [10]"),
        ("own_metrics:Failing:min", " cannot be computed: RuntimeError: no such column"),
        ("own_metrics:not_a_metric", " must be a torchmetrics.Metric, or return one; found int"),
        ("own_metrics:needs_more", " cannot be built: TypeError:"),
        ("own_metrics:Brie", ': own_metrics has no callable "Brie"; did you mean "Brier"?'),
        ("no_such_module:X", ": there is no module no_such_module"),
    ],
)  # fmt: skip
def test_an_own_metric_that_cannot_be_used_is_one_sentence(
    tiny_config: MakeConfig, name: str, rule: str
) -> None:
    (problem,) = check_metrics(tiny_config(metrics=[name]), DATA)
    assert problem.key == "metrics"
    assert problem.rule.startswith(f'"{name.removesuffix(":min")}"{rule}')


def test_a_top_k_that_is_always_1_is_refused(tiny_config: MakeConfig) -> None:
    problems = check_shapes(tiny_config(metrics=["top5", "top10"]), DATA)
    rules = [problem.rule for problem in problems if problem.key == "metrics"]
    assert rules == ["top10 is always 1 with 10 classes; leave it out"]
