"""`python -m tests.gpu.step_time MODEL...`: time of a training step of 128 images, by its launch.

The images have CIFAR's shape. `kernels` and `busy` are the profiler's, for an eager step: what the
GPU itself needs. Without a GPU only eager steps are timed, a few of them.
"""

from __future__ import annotations

import itertools
import sys
import time

import torch
from torch.autograd import DeviceType

from tests.benchmarks.launches import COMPILED, EAGER, RECORDED, Launch
from trainable.config import parse_config
from trainable.data.source import Batch
from trainable.training.device import default_device
from trainable.training.epoch import drain
from trainable.training.trainer import Trainer

ON_GPU = torch.cuda.is_available()
BATCH = 128 if ON_GPU else 16
WARM_UP, STEPS, PROFILED = (10, 200, 5) if ON_GPU else (1, 2, 0)
CASES: list[tuple[str, Launch]] = [
    ("float16", EAGER),
    ("float16", RECORDED),
    ("bfloat16", EAGER),
    ("bfloat16", RECORDED),
    ("bfloat16", COMPILED),
]
CPU_CASES: list[tuple[str, Launch]] = [("float32", EAGER)]


def trainer_of(model: str, dtype: str, launch: Launch) -> Trainer:
    """Builds a training; float32 means without autocast."""
    amp = {"enabled": True, "dtype": dtype} if dtype != "float32" else {"enabled": False}
    config = {
        "dataset": {"name": "synthetic", "num_train": 4 * BATCH, "num_test": 1},
        "model": {"name": model},
        "training": {"epochs": 100, "batch_size": BATCH, **launch.settings()},
        "optimizer": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True},
        "amp": amp,
    }
    return Trainer(parse_config(config), device=default_device())


def profiled(trainer: Trainer, batch: Batch) -> tuple[int, float]:
    """Returns the kernels of an eager step and the milliseconds that they run."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        drain(trainer.train_on(itertools.repeat(batch, PROFILED)))
        torch.cuda.synchronize()
    kernels = [event for event in profile.events() if event.device_type == DeviceType.CUDA]
    busy_ms = sum(event.device_time for event in kernels) / 1e3
    return len(kernels) // PROFILED, busy_ms / PROFILED


def line_of(model: str, dtype: str, launch: Launch) -> str:
    """Times the steps of one training and returns a row of the table."""
    started = time.perf_counter()
    trainer = trainer_of(model, dtype, launch)
    batch = next(iter(trainer.source.train_batches(BATCH, seed=1)))
    drain(trainer.train_on(itertools.repeat(batch, WARM_UP)))
    start_s = time.perf_counter() - started
    launch.check(trainer)
    started = time.perf_counter()
    drain(trainer.train_on(itertools.repeat(batch, STEPS)))
    step_ms = (time.perf_counter() - started) / STEPS * 1e3
    text = (
        f"S {model:12}{dtype:9}{launch.label:22}{step_ms:9.3f} ms "
        f"{BATCH / step_ms * 1e3:9.0f} images/s  start {start_s:5.1f} s"
    )
    if ON_GPU and launch == EAGER:
        count, busy_ms = profiled(trainer, batch)
        text += f"  {count} kernels, busy {busy_ms:.2f} ms"
    return text


def main() -> None:
    """Prints a row for every model and case."""
    failed = False
    for model, (dtype, launch) in itertools.product(sys.argv[1:], CASES if ON_GPU else CPU_CASES):
        try:
            print(line_of(model, dtype, launch), flush=True)
        except Exception as error:  # noqa: BLE001 (the other cases are still to be timed)
            failed = True
            print(f"FAIL {model} {dtype} {launch.label}: {error!r:.200}", flush=True)
    if not ON_GPU:
        print("-- recorded, compiled: needs a GPU")
    sys.exit(failed)


if __name__ == "__main__":
    main()
