"""The table of what probed draws cost."""

from __future__ import annotations

from typing import Any

import pytest

from sweeps.planning.cost import ProbedDraw
from sweeps.planning.description import describe_cost
from trainable.config import parse_config
from trainable.profiling.cost import TrainingCost


@pytest.mark.parametrize(
    ("model", "augment", "is_less"),
    [
        ({"freeze": "backbone"}, {}, True),
        ({"freeze": "backbone"}, {"mixup": {"alpha": 0.2}}, False),
        ({"freeze": "backbone", "unfreeze_epoch": 1}, {}, False),
        ({}, {}, False),
    ],
)
def test_the_cost_of_a_frozen_backbone_is_said_to_be_too_high(
    model: dict[str, Any], augment: dict[str, Any], is_less: bool
) -> None:
    config = parse_config(
        {
            "dataset": {"name": "digits"},
            "model": {"name": "resnet20", **model},
            "training": {"epochs": 2},
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
            "augment": augment,
        }
    )
    cost = TrainingCost("cpu", 10, 100, setup_s=1.0, epoch_s=2.0, peak_memory_gib=0.5)
    caption = describe_cost([ProbedDraw(0, {}, config, cost)]).caption
    assert ("they need less time and memory than shown" in str(caption)) == is_less
