"""P1, P2, P4: throughput and memory of several trials that train at once on one GPU.

Both ways of packing are measured: a process per trial, each with its fraction of the GPU
(`resources.gpu: 1/K`), and one process for all trials (`resources.process: shared`). On a GPU each
is measured with recorded and with eager steps.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.epoch import BATCH, MOMENTUM, RATE, Epochs
from tests.benchmarks.launches import EAGER, Launch, launches
from tests.benchmarks.sides import (
    ROUNDS,
    Figure,
    NeedsCudaError,
    Side,
    Variant,
    compare_variants,
)
from trainable.config import parse_config
from trainable.profiling.concurrent import train_concurrently

ROOT = Path(__file__).parents[2]
SECONDS = 3.0
POLL_S = 0.02
GIB = 2**30


def training(model: str, images: int, launch: Launch) -> dict[str, Any]:
    """Builds a complete config of CIFAR's shapes, with as little evaluation as possible.

    Args:
        model: Its name.
        images: Of an epoch.
        launch: How steps are launched.
    """
    config = {
        "dataset": {"name": "synthetic", "num_train": images, "num_test": 10},
        "model": {"name": model},
        "training": {
            "epochs": 10**6,
            "batch_size": BATCH,
            "test_frequency": 10**6,
            **launch.settings(),
        },
        "optimizer": {
            "name": "sgd",
            "learning_rate": RATE,
            "momentum": MOMENTUM,
            "nesterov": True,
        },
        "amp": {"enabled": torch.cuda.is_available(), "dtype": "bfloat16"},
        "checkpoint": {"enabled": False},
        "tensorboard": {"enabled": False},
        "progress": {"enabled": False},
    }
    return parse_config(config).to_dict()


@dataclass(frozen=True)
class Trials:
    """Equal trials that train at once.

    Attributes:
        model: Its name.
        images: Of an epoch.
        count: How many trials.
        launch: How steps are launched.
        seconds: How long they train for one measurement.
    """

    model: str
    images: int
    count: int
    launch: Launch
    seconds: float = SECONDS

    def in_processes(self) -> float:
        """Trains in a process per trial; returns the images a second of all."""
        together = train_concurrently(
            parse_config(training(self.model, self.images, self.launch)),
            self.count,
            gpu=1 / self.count if torch.cuda.is_available() else 0.0,
            threads=max(1, (os.cpu_count() or 1) // self.count),
            seconds=self.seconds,
        )
        if together is None:
            raise RuntimeError(f"{self.count} x {self.model} do not fit")
        return together.images_per_s

    def in_one_process(self) -> float:
        """Trains all trials in one process; returns the images a second of all."""
        order = {
            "config": training(self.model, self.images, self.launch),
            "copies": self.count,
            "threads": os.cpu_count() or 1,
            "gpu": 1.0 if torch.cuda.is_available() else 0.0,
            "seconds": self.seconds,
        }
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.packed_once", json.dumps(order)],
            capture_output=True, text=True, check=False, cwd=ROOT,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"packed trials failed:\n{done.stderr}")
        return float(done.stdout.split()[-1])


Packing = Callable[[Trials], float]
"""Trains the trials and returns their images a second."""

WAYS: dict[str, Packing] = {
    "one process": Trials.in_one_process,
    "processes": Trials.in_processes,
}


def _per_1000(packing: Packing, trials: Trials) -> Side:
    return lambda: 1000 / packing(trials)


def _goal(launch: Launch, goal: str) -> str:
    return "(eager)" if torch.cuda.is_available() and launch == EAGER else goal


def p1(
    model: str,
    images: int,
    workers: int,
    trials: int,
    goal: str,
    *,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
) -> list[Figure]:
    """P1: packed trials by the loop of the tutorials, one training after the other."""
    epoch = Epochs(model, images, workers).plain()
    variants = [
        Variant(
            f"{way}, {launch.label}",
            _per_1000(packing, Trials(model, images, trials, launch, seconds)),
            _goal(launch, goal),
        )
        for launch in launches()
        for way, packing in WAYS.items()
    ]
    epoch()  # starts the workers of the DataLoader
    return compare_variants(
        "P1",
        f"{model}, {trials} at once: a DataLoader loop / ours, s per 1,000 images",
        lambda: epoch() * 1000 / images,
        variants,
        rounds=rounds,
        warm_up=0,
    )


def p2(
    images: int,
    counts: dict[str, Sequence[int]],
    goals: dict[str, str],
    *,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
) -> list[Figure]:
    """P2: packed trials by our own ones, one after the other, launched in the same way.

    Args:
        images: Of an epoch.
        counts: Trials at once, by the model's name.
        goals: By the model's name.
        rounds: That count.
        seconds: Of each measurement.
    """
    figures = []
    for model, launch in ((model, launch) for model in counts for launch in launches()):
        alone = Trials(model, images, 1, launch, seconds)
        variants = [
            Variant(
                f"{count} at once, {way}, {launch.label}",
                _per_1000(packing, Trials(model, images, count, launch, seconds)),
                _goal(launch, goals[model]),
            )
            for count in counts[model]
            for way, packing in WAYS.items()
        ]
        figures += compare_variants(
            "P2",
            f"{model}: our own serial / packed, s per 1,000 images",
            _per_1000(Trials.in_processes, alone),
            variants,
            rounds=rounds,
            warm_up=0,
        )
    return figures


def p4(
    model: str, images: int, trials: int, *, rounds: int = ROUNDS, seconds: float = SECONDS
) -> list[Figure]:
    """P4: the GPU memory in use at the most, one process for all by a process per trial."""
    if not torch.cuda.is_available():
        raise NeedsCudaError

    def gib(packing: Packing, launch: Launch) -> Side:
        def side() -> float:
            with watched_memory() as used:
                packing(Trials(model, images, trials, launch, seconds))
            return max(used) / GIB

        return side

    return [
        figure
        for launch in launches()
        for figure in compare_variants(
            "P4",
            f"{model}, {trials} at once: peak GiB of the GPU, one process / a process per trial",
            gib(Trials.in_processes, launch),
            [Variant(launch.label, gib(Trials.in_one_process, launch), "<= 0.5")],
            unit="GiB",
            ours_over_other=True,
            rounds=rounds,
            warm_up=0,
        )
    ]


@contextmanager
def watched_memory() -> Iterator[list[int]]:
    """Collects the bytes of the GPU that others take meanwhile, looking again and again."""
    before, _ = torch.cuda.mem_get_info()
    used = [0]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_S):
            used.append(before - torch.cuda.mem_get_info()[0])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield used
    finally:
        over.set()
        thread.join()
