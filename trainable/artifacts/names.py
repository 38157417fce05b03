"""Names in and of an experiment's directory. Loads nothing: a sweep's driver needs no torch."""

from __future__ import annotations

from datetime import datetime

from trainable.config import TrainConfig

CONFIG_FILE = "config.yaml"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
METRICS_FILE = "metrics.jsonl"
TIMESTAMP = "%Y%m%d_%H%M%S"


def automatic_name(config: TrainConfig, now: datetime) -> str:
    """`{model}_{dataset}_{timestamp}`; of an own model `module:callable`, the callable."""
    model = config.model.name.rpartition(":")[2]
    return f"{model}_{config.dataset.name}_{now.strftime(TIMESTAMP)}"
