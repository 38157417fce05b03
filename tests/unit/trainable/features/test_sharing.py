"""Which trials of a sweep share the features of a frozen backbone."""

from typing import Any

import pytest

from trainable.config import parse_config
from trainable.features.sharing import describe_sharing

START = "features of the frozen backbone: "


@pytest.mark.parametrize(
    ("sections", "swept", "line"),
    [
        ({}, ["optimizer.learning_rate", "model.head_init", "training.batch_size"],
         "computed once per node for all trials"),
        ({}, ["augment.rotation", "dataset.augment", "loss.name"],
         "computed once per node for all trials with the same augment.rotation, dataset.augment"),
        ({"augment": {"mixup": {"alpha": 0.2}}}, [], "not stored, because of mixup or cutmix"),
        ({"model": {"name": "resnet20", "freeze": "backbone"}}, ["seed.value"],
         "computed once per node for all trials with the same seed.value"),
        ({"model": {"name": "resnet20", "freeze": "backbone", "unfreeze_epoch": 2}}, [], None),
        ({"model": {"name": "resnet20"}}, [], None),
        ({"training": {"epochs": 1, "cache_features": False}}, [], None),
    ],
)  # fmt: skip
def test_the_plan_says_what_is_shared(
    sections: dict[str, Any], swept: list[str], line: str | None
) -> None:
    config = parse_config(
        {
            "dataset": {"name": "digits"},
            "model": {"name": "resnet20", "freeze": "backbone", "pretrained": "w.pt"},
            "training": {"epochs": 1},
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
            **sections,
        }
    )
    assert describe_sharing(config, swept) == (line and START + line)
