"""A Tune trainable without torch, which workers import quickly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ray.tune import Trainable


class Toy(Trainable):
    """Counts its steps; fails once, in the step that its config names."""

    def setup(self, config: dict[str, Any]) -> None:
        self.count = 0
        self.loaded: str | None = None

    def step(self) -> dict[str, Any]:
        self.count += 1
        mark = Path(self.config["marks"], self.trial_id)
        if self.count == self.config.get("fails_at") and not mark.exists():
            mark.touch()
            raise RuntimeError("once")
        return {
            "epoch": self.count,
            "training_iteration": self.count,
            "loaded": self.loaded,
            "done": self.count >= 3,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "count.json").write_text(json.dumps(self.count))

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        self.count = json.loads(Path(checkpoint_dir, "count.json").read_text())
        self.loaded = Path(checkpoint_dir).name

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True
