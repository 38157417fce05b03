"""A Tune trainable that reports numbers which follow from its config and trains nothing."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from ray.tune import Trainable

VALUE = "optimizer.learning_rate"
"""Key of a trial's config that its scores follow from, with the seed."""


def scripted_score(config: dict[str, Any], epoch: int) -> float:
    """Metric of an epoch: the value's quality, an increase, and noise that reorders trials."""
    curve = f"{config['seed']} {config[VALUE]}"
    quality = random.Random(curve).random()
    noise = random.Random(f"{curve} {epoch}").random()
    return round(quality * (1 - 0.5**epoch) + 0.3 * noise, 6)


class ScriptedTrainable(Trainable):
    """Reports the scripted score of each epoch."""

    def setup(self, config: dict[str, Any]) -> None:
        self.epoch = 0

    def step(self) -> dict[str, Any]:
        self.epoch += 1
        return {
            "epoch": self.epoch,
            "training_iteration": self.epoch,
            "val_acc": scripted_score(self.config, self.epoch),
            "done": self.epoch >= self.config["training"]["epochs"],
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "epoch.json").write_text(json.dumps(self.epoch))

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        self.epoch = json.loads(Path(checkpoint_dir, "epoch.json").read_text())

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config = new_config
        self.setup(new_config)
        return True
