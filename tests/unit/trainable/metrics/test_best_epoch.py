"""Which epoch is the best: by `checkpoint.monitor`, and after a change of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trainable.config import TrainConfig
from trainable.errors import ConfigError
from trainable.experiment.resume import describe_resumption
from trainable.metrics.best_epoch import BestEpoch
from trainable.training.trainer import Trainer

MakeConfig = Callable[..., TrainConfig]
MakeTrainer = Callable[..., Trainer]


def monitoring(tiny_config: MakeConfig, monitor: str, **sections: Any) -> BestEpoch:
    return BestEpoch(tiny_config(checkpoint={"monitor": monitor}, **sections))


@pytest.mark.parametrize(
    ("monitor", "metrics", "values", "best"),
    [
        ("val_acc", [], [0.3, 0.5, 0.5, 0.4], 2),
        ("val_loss", [], [0.3, 0.5, 0.2, 0.2], 3),
        ("val_f1_macro", ["f1_macro"], [0.3, None, 0.5, 0.4], 3),
        ("val_Brier", ["my:Brier:min"], [0.3, 0.5, 0.2, 0.4], 3),
        ("val_Top", ["my:Top"], [None, 0.5, 0.2, 0.4], 2),
    ],
)
def test_the_best_is_the_first_with_the_best_monitored_value(
    tiny_config: MakeConfig,
    monitor: str,
    metrics: list[str],
    values: list[float | None],
    best: int,
) -> None:
    tracked = monitoring(tiny_config, monitor, metrics=metrics)
    improved = [
        tracked.add(epoch, {"val_acc": 0.1 * epoch, "val_loss": 1.0, monitor: value})
        for epoch, value in enumerate(values, start=1)
    ]
    assert (tracked.epoch, tracked.value) == (best, values[best - 1])
    assert [epoch for epoch, is_best in enumerate(improved, start=1) if is_best][-1] == best
    assert tracked.acc == pytest.approx(0.5 if monitor == "val_acc" else 0.4)


def test_plateau_watches_the_monitored_metric_where_it_has_its_mode(
    tiny_config: MakeConfig,
) -> None:
    row = {"val_acc": 0.5, "val_loss": 1.5, "val_f1_macro": 0.25}
    f1 = monitoring(tiny_config, "val_f1_macro", metrics=["f1_macro"])
    assert monitoring(tiny_config, "val_acc").plateau_values(row) == (0.5, 1.5)
    assert monitoring(tiny_config, "val_loss").plateau_values(row) == (0.5, 1.5)
    assert f1.plateau_values(row) == (0.25, 1.5)


def test_a_monitor_that_is_not_measured_is_refused_with_the_line_to_add(
    tiny_config: MakeConfig,
) -> None:
    with pytest.raises(ConfigError, match=r"checkpoint\.monitor") as caught:
        monitoring(tiny_config, "val_f1_macro", metrics=["auroc"])
    assert "add this line to the training config: metrics: [auroc, f1_macro]" in str(caught.value)


def test_a_changed_monitor_begins_anew_and_says_so(tiny_trainer: MakeTrainer) -> None:
    first = tiny_trainer()
    first.run_epoch()
    state = first.state_dict()
    second = tiny_trainer(checkpoint={"monitor": "val_f1_macro"}, metrics=["f1_macro"])
    second.load_state_dict(state)
    assert (second.best.epoch, second.best.value) == (0, None)
    assert second.best.acc == first.best.acc
    (line,) = [line for line in describe_resumption(second, state) if "monitor" in line]
    assert line == (
        "note: checkpoint.monitor was val_acc and is val_f1_macro: best.pt is the best of the "
        "epochs from here on"
    )
    row = second.run_epoch()
    assert (row["best_epoch"], row["best_f1_macro"]) == (2, row["val_f1_macro"])
    assert second.improved
