"""`python -m tests.benchmarks.sweep_once SIDE TRIALS EPOCHS EPOCH_S`: one sweep, timed.

The trials sleep. `ours` is the sweep as the command runs it, its trainable replaced; `tune` is
`tune.Tuner` with its defaults; `tune_reusing` reuses actors, as ours does; `tune_bare` has no
loggers besides, and its checkpoints are written in place: Tune's own floor.

Prints what it cost:

- `seconds`: from the call that starts the sweep to its return, Ray running already;
- `between_s`: from the end of the first step to the end of the last one;
- `first_100_s`, `last_100_s`: the same of so many trials, if there are more, of one epoch each;
- `cpu_s`: processor time of all processes, Ray's own ones too.
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

from sweeps.cluster.session import ENVIRONMENT, start_ray
from sweeps.execution import tune_run
from sweeps.execution.launch import start_sweep
from sweeps.spec.load import parse_search
from trainable.artifacts.metrics import MetricsFile
from trainable.ray_trial.tune_storage import next_checkpoint_directory, trial_directory

CPUS = 2
MARKS = "BENCHMARK_MARKS"
"""Names the file to which the first and the last step of every trial are noted."""

ROW = {
    "train_loss": 1.0, "train_acc": 0.5, "val_loss": 1.0, "val_acc": 0.5, "test_loss": 1.0,
    "test_acc": 0.5, "best_acc": 0.5, "lr": 0.1, "epoch_s": 1.0, "images_per_s": 1000.0,
    "peak_memory_gib": 1.0, "device": "cpu",
}  # fmt: skip
"""Values that a trial reports per epoch, on every side."""


class Sleeping(tune.Trainable):
    """Does nothing for as long as it is told."""

    def setup(self, config: dict) -> None:
        self._done, self._epochs, self._epoch_s = 0, config["epochs"], config["epoch_s"]

    def step(self) -> dict:
        self._done += 1
        time.sleep(self._epoch_s)
        if self._done in (1, self._epochs):
            with Path(os.environ[MARKS]).open("a") as file:
                file.write(f"{time.time()}\n")
        return {"epoch": self._done, **ROW, "done": self._done >= self._epochs}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        (Path(checkpoint_dir) / "checkpoint.pt").write_bytes(b"")

    def load_checkpoint(self, checkpoint: object) -> None:
        pass

    def reset_config(self, new_config: dict) -> bool:
        self.setup(new_config)
        return True


class InPlace(Sleeping):
    """Checkpoints are written where they stay, as ours are."""

    def save(self, checkpoint_dir: str | None = None):
        return super().save(checkpoint_dir or next_checkpoint_directory(self._storage))


class SleepingTrial(InPlace):
    """Where our sweep puts `ClassifierTrainable`; records a row an epoch as that does."""

    def setup(self, config: dict) -> None:
        epoch_s = float(config["optimizer"]["weight_decay"])
        super().setup({"epochs": config["training"]["epochs"], "epoch_s": epoch_s})
        directory = trial_directory(self._storage)
        directory.mkdir(parents=True, exist_ok=True)
        self._history = MetricsFile(directory / "metrics.jsonl")

    def step(self) -> dict:
        row = super().step()
        self._history.append(row)
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
    tune_run.ClassifierTrainable = SleepingTrial
    start_sweep(parse_search({"name": "bench", "config": config, "space": space, "tune": tuned}))


def plain(side: str, place: Path, trials: int, epochs: int, epoch_s: float) -> None:
    """Plain Ray Tune as its documentation shows it, and variations."""
    trainable = InPlace if side == "tune_bare" else Sleeping
    tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"lr": tune.loguniform(1e-4, 1.0), "epochs": epochs, "epoch_s": epoch_s},
        tune_config=tune.TuneConfig(
            metric="val_acc", mode="max", num_samples=trials, reuse_actors=side != "tune" or None
        ),
        run_config=tune.RunConfig(name="bench", storage_path=str(place)),
    ).fit()


def cpu_s() -> float:
    """Processor time of this process and of all below it, the ended ones too."""
    parents, used = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # has just ended
            continue
        process = int(path.parent.name)
        parents[process], used[process] = int(fields[1]), sum(map(int, fields[11:15]))

    def is_below(process: int) -> bool:
        while process > 1 and process != os.getpid():
            process = parents.get(process, 0)
        return process == os.getpid()

    ticks = sum(result for process, result in used.items() if is_below(process))
    return ticks / os.sysconf("SC_CLK_TCK")


def environment(side: str, marks: Path) -> None:
    """Environment that Ray's processes inherit."""
    os.environ[MARKS] = str(marks)
    quiet = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"} if side == "tune_bare" else {}
    for name, value in (ENVIRONMENT if side == "ours" else quiet).items():
        os.environ.setdefault(name, value)


def main() -> None:
    """Runs the side that the command line names."""
    side, trials, epochs, epoch_s = sys.argv[1], *map(float, sys.argv[2:])
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        environment(side, place / "marks.txt")
        ray.init(address="local", num_cpus=CPUS, include_dashboard=False, log_to_driver=False)
        if side == "ours":
            start_ray()
        before, started = cpu_s(), time.perf_counter()
        if side == "ours":
            ours(place, int(trials), int(epochs), epoch_s)
        else:
            plain(side, place, int(trials), int(epochs), epoch_s)
        result = {"seconds": time.perf_counter() - started, "cpu_s": cpu_s() - before}
        marks = [float(line) for line in (place / "marks.txt").read_text().split()]
        ray.shutdown()
    marks.sort()
    result["between_s"] = marks[-1] - marks[0]
    if len(marks) > 100:
        result["first_100_s"] = marks[100] - marks[0]
        result["last_100_s"] = marks[-1] - marks[-101]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
