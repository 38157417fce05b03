"""`python -m tests.benchmarks.sweep_once SIDE TRIALS EPOCHS EPOCH_S`: one sweep, timed.

The trials sleep. `ours` is the sweep as the command runs it, its trainable replaced; `tune` is
`tune.Tuner` with its defaults; `tune_reusing` reuses actors, as ours does.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import ray
from ray import tune

from sweeps import running
from sweeps.cluster import ENVIRONMENT, start_ray
from sweeps.launch import start_sweep
from sweeps.spec import parse_search
from trainable.history import History

CPUS = 2


class Sleeping(tune.Trainable):
    """Does nothing for as long as it is told; records a row an epoch as our trials do."""

    def setup(self, config: dict) -> None:
        self._done, self._epochs, self._epoch_s = 0, config["epochs"], config["epoch_s"]
        self._history = None

    def step(self) -> dict:
        self._done += 1
        time.sleep(self._epoch_s)
        row = {"epoch": self._done, "val_acc": 0.5, "train_loss": 1.0, "val_loss": 1.0}
        return {**row, "done": self._done >= self._epochs}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        (Path(checkpoint_dir) / "checkpoint.pt").write_bytes(b"")

    def load_checkpoint(self, checkpoint: object) -> None:
        pass

    def reset_config(self, new_config: dict) -> bool:
        self.setup(new_config)
        return True


class SleepingTrial(Sleeping):
    """The same where our sweep puts `ClassifierTrainable`."""

    def setup(self, config: dict) -> None:
        epoch_s = float(config["optimizer"]["weight_decay"])
        super().setup({"epochs": config["training"]["epochs"], "epoch_s": epoch_s})

    def step(self) -> dict:
        row = super().step()
        directory = Path(self._storage.trial_fs_path)
        directory.mkdir(parents=True, exist_ok=True)
        if self._history is None:
            self._history = History(directory / "metrics.jsonl")
        self._history.append({**row, "epoch_s": self._epoch_s})
        return row


def ours(place: Path, trials: int, epochs: int, epoch_s: float) -> None:
    """The sweep of a search file."""
    config = {
        "dataset": {"name": "digits"},
        "model": {"name": "resnet20"},
        "training": {"epochs": epochs},
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "weight_decay": epoch_s},
        "checkpoint": {"enabled": True, "dir": str(place), "save_frequency": 10**6},
        "tensorboard": {"enabled": False},
        "progress": {"enabled": False},
    }
    space = {"optimizer.learning_rate": {"loguniform": [1e-4, 1.0]}}
    tuned = {"num_samples": trials, "seed": 1}
    running.ClassifierTrainable = SleepingTrial
    start_sweep(parse_search({"name": "bench", "config": config, "space": space, "tune": tuned}))


def plain(place: Path, trials: int, epochs: int, epoch_s: float, *, reuse: bool) -> None:
    """What a user of Tune writes first."""
    tune.Tuner(
        tune.with_resources(Sleeping, {"cpu": 1}),
        param_space={"lr": tune.loguniform(1e-4, 1.0), "epochs": epochs, "epoch_s": epoch_s},
        tune_config=tune.TuneConfig(
            metric="val_acc", mode="max", num_samples=trials, reuse_actors=reuse or None
        ),
        run_config=tune.RunConfig(name="bench", storage_path=str(place)),
    ).fit()


def main() -> None:
    """Runs the side that the command line names."""
    side, trials, epochs, epoch_s = sys.argv[1], *map(float, sys.argv[2:])
    if side == "ours":
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
    ray.init(address="local", num_cpus=CPUS, include_dashboard=False, log_to_driver=False)
    if side == "ours":
        start_ray()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        started = time.perf_counter()
        if side == "ours":
            ours(place, int(trials), int(epochs), epoch_s)
        else:
            reuse = side == "tune_reusing"
            plain(place, int(trials), int(epochs), epoch_s, reuse=reuse)
        seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
