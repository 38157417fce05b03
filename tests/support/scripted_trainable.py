"""A Tune trainable that reports the numbers of its config and trains nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ray.tune import Trainable


class ScriptedTrainable(Trainable):
    """Reports `config["scores"]`, one per epoch."""

    def setup(self, config: dict[str, Any]) -> None:
        self.scores = config["scores"]
        self.epoch = 0

    def step(self) -> dict[str, Any]:
        self.epoch += 1
        return {
            "epoch": self.epoch,
            "training_iteration": self.epoch,
            "val_acc": self.scores[self.epoch - 1],
            "done": self.epoch >= len(self.scores),
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "epoch.json").write_text(json.dumps(self.epoch))

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        self.epoch = json.loads(Path(checkpoint_dir, "epoch.json").read_text())

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True
