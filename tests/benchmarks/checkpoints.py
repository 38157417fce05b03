"""C1 to C3: the cost of a save in bytes and in time."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.sides import ROUNDS, Figure, compare
from tests.support.saving import save_due
from trainable.config import parse_config
from trainable.experiment.directory import Experiment
from trainable.ray_trial.trial_run import TrialRun
from trainable.training.trainer import Trainer

IMAGES, SAVES = 512, 3
NEVER = {"save_frequency": 10**6, "save_best": False}


def config_of(
    model: str, directory: Path, images: int = IMAGES, **checkpoint: object
) -> dict[str, Any]:
    """Builds a training on little data, so that a save is not small beside its epoch."""
    return {
        "seed": {"enabled": True},
        "dataset": {"name": "synthetic", "num_train": images, "num_test": 64},
        "model": {"name": model},
        "training": {"epochs": 1000, "batch_size": 64},
        "optimizer": {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9},
        "checkpoint": {"enabled": True, "dir": str(directory), "save_frequency": 1, **checkpoint},
        "tensorboard": {"enabled": False},
        "progress": {"enabled": False},
    }


def trainer_of(model: str, directory: Path) -> Trainer:
    """Builds such a training, on this machine's GPU if it has one."""
    return Trainer(parse_config(config_of(model, directory)))


def written() -> int:
    """Bytes that this process has asked the system to write."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("wchar")).split()[1])


def c1() -> Figure:
    """C1: bytes written for epoch_N, latest and best together, by those of one checkpoint."""
    with tempfile.TemporaryDirectory() as temporary:
        trainer = trainer_of("resnet18", Path(temporary))
        trainer.run_epoch()
        experiment = Experiment(Path(temporary), trainer.config, keep_metrics=True)

        def one() -> float:
            return float(experiment.latest.stat().st_size) if experiment.latest.exists() else 1.0

        def ours() -> float:
            before = written()
            trainer._improved = True
            assert save_due(experiment, trainer)
            return float(written() - before)

        ours()
        what = "bytes of a save under three names / bytes of one checkpoint, resnet18"
        return compare("C1", what, one, ours, goal="<= 1.02", unit="B", ours_over_other=True)


def c2(rounds: int = ROUNDS) -> Figure:
    """C2: the time that training stands still for a save, by that of a plain torch.save.

    With ours the first step of the next epoch may have to wait too: that counts.
    """
    with tempfile.TemporaryDirectory() as temporary:
        trainer = trainer_of("resnet18", Path(temporary))
        trainer.run_epoch()
        experiment = Experiment(Path(temporary), trainer.config, keep_metrics=True)
        plain = Path(temporary) / "plain.pt"

        def go_on() -> None:
            steps = trainer.epoch_steps()
            next(steps)
            steps.close()

        def other() -> float:
            started = time.perf_counter()
            torch.save(trainer.state_dict(), plain)
            stalled = time.perf_counter() - started
            go_on()
            return stalled

        def ours() -> float:
            started = time.perf_counter()
            writing = experiment.begin_save(trainer)
            stalls = [time.perf_counter() - started]
            waits = trainer.train_step.pending_copy
            assert writing is not None
            assert waits is not None

            def wait() -> None:
                started = time.perf_counter()
                waits()
                stalls.append(time.perf_counter() - started)

            trainer.train_step.pending_copy = wait
            go_on()
            writing.result()
            assert len(stalls) == 2
            return sum(stalls)

        what = "training stalled a save / plain torch.save without fsync, resnet18"
        return compare("C2", what, other, ours, goal="<= 0.1", ours_over_other=True, rounds=rounds)


def c3(images: int = IMAGES, saves: int = SAVES, rounds: int | None = None) -> Figure:
    """C3: epochs with a save after each, by epochs without."""
    if rounds is None:
        rounds = ROUNDS if torch.cuda.is_available() else 3
    with tempfile.TemporaryDirectory() as temporary:
        runs = {}
        for name, checkpoint in (("with", {}), ("without", NEVER)):
            directory = Path(temporary) / name
            config = config_of("resnet18", directory, images, **checkpoint)
            runs[name] = TrialRun(config, name, directory)

        def epochs(name: str) -> float:
            started = time.perf_counter()
            for _ in range(saves):
                assert runs[name].step()["saved"] == (name == "with")
            return (time.perf_counter() - started) / saves

        return compare(
            "C3",
            f"an epoch with a save / without, resnet18 on {images} images",
            lambda: epochs("without"),
            lambda: epochs("with"),
            goal="<= 1.02",
            ours_over_other=True,
            rounds=rounds,
        )
