"""P1, P2, P4: what several trials at once on one card come to together.

Both ways that there are: a process a trial, each with its fraction of the card
(`resources.gpu: 1/K`), and one process for all (`resources.process: card`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.epoch import BATCH, MOMENTUM, RATE, Epochs
from tests.benchmarks.sides import Figure, NeedsCudaError, Side, compare
from trainable.config import parse_config
from trainable.together import train_together

ROOT = Path(__file__).parents[2]
SECONDS = 3.0
POLL_S = 0.02
GIB = 2**30

Packing = Callable[[str, int, int], float]
"""Model, images, trials at once -> images a second of all."""


def training(model: str, images: int) -> dict[str, Any]:
    """CIFAR's shapes, trained without evaluation in between as far as that can be."""
    optimizer = {"name": "sgd", "learning_rate": RATE, "momentum": MOMENTUM, "nesterov": True}
    config = {
        "dataset": {"name": "synthetic", "num_train": images, "num_test": 10},
        "model": {"name": model},
        "training": {"epochs": 10**6, "batch_size": BATCH, "test_frequency": 10**6},
        "optimizer": optimizer,
        "amp": {"enabled": torch.cuda.is_available()},
        "checkpoint": {"enabled": False},
        "tensorboard": {"enabled": False},
        "progress": {"enabled": False},
    }
    return parse_config(config).to_dict()


def _threads(trials: int) -> int:
    return max(1, (os.cpu_count() or 1) // trials)


def processes(model: str, images: int, trials: int) -> float:
    """A process a trial."""
    gpu = 1 / trials if torch.cuda.is_available() else 0.0
    config = parse_config(training(model, images))
    found = train_together(config, trials, gpu=gpu, threads=_threads(trials), seconds=SECONDS)
    if found is None:
        raise RuntimeError(f"{trials} x {model} do not fit")
    return found.images_per_s


def one_process(model: str, images: int, trials: int) -> float:
    """All trials in one process."""
    order = {
        "config": training(model, images),
        "copies": trials,
        "threads": os.cpu_count() or 1,
        "gpu": 1.0 if torch.cuda.is_available() else 0.0,
        "seconds": SECONDS,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.packed_once", json.dumps(order)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"packed trials failed:\n{done.stderr}")
    return float(done.stdout.split()[-1])


WAYS: dict[str, Packing] = {"processes": processes, "one process": one_process}


def _per_1000(packing: Packing, model: str, images: int, trials: int) -> Side:
    return lambda: 1000 / packing(model, images, trials)


def p1(model: str, images: int, workers: int, trials: int, goal: str) -> list[Figure]:
    """Packed by the loop of the tutorials, one training after the other."""
    epoch = Epochs(model, images, workers).plain()
    return [
        compare(
            "P1",
            f"{model}, {trials} at once ({way}): a DataLoader loop / ours, s per 1,000",
            lambda: epoch() * 1000 / images,
            _per_1000(packing, model, images, trials),
            goal=goal,
        )
        for way, packing in WAYS.items()
    ]


def p2(model: str, images: int, counts: Sequence[int], goal: str) -> list[Figure]:
    """Packed by our own trainings, one after the other."""
    return [
        compare(
            "P2",
            f"{model}, {trials} at once ({way}): our own serial / packed, s per 1,000 images",
            _per_1000(processes, model, images, 1),
            _per_1000(packing, model, images, trials),
            goal=goal,
            warm_up=0,
        )
        for trials in counts
        for way, packing in WAYS.items()
    ]


def p4(model: str, images: int, trials: int) -> Figure:
    """The most memory of the card that is taken at once."""
    if not torch.cuda.is_available():
        raise NeedsCudaError

    def gib(packing: Packing) -> Side:
        def side() -> float:
            with _watched() as used:
                packing(model, images, trials)
            return max(used) / GIB

        return side

    return compare(
        "P4",
        f"{model}, {trials} at once: peak GiB of the card, one process / a process each",
        gib(processes),
        gib(one_process),
        goal="<= 0.5",
        unit="GiB",
        ours_over_other=True,
        warm_up=0,
    )


@contextmanager
def _watched() -> Iterator[list[int]]:
    """Bytes of the card that others take meanwhile, looked at again and again."""
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
