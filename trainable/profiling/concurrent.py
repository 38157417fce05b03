"""Measures several copies of one training that share a GPU, each in a process of its own.

`python -m trainable.profiling.concurrent` is one of these processes. It reads what to train as
JSON, prints `ready`, waits for a line, trains for a few seconds and prints its measurements.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TextIO

import torch

from trainable.config import TrainConfig, parse_config
from trainable.data.source import Batch
from trainable.errors import ExperimentError
from trainable.profiling.cost import TIMED_BATCHES, endless_batches, train, warm_up_batches
from trainable.training.device import GIB, limited_device
from trainable.training.gpu.gpu_queue import queue_settings
from trainable.training.trainer import Trainer

TRAINING_S = 3.0
"""How long the copies train, all at the same time."""
OUT_OF_MEMORY_EXIT_CODE = 3
READY = "ready\n"


@dataclass(frozen=True)
class ConcurrencyResult:
    """Throughput and memory of copies of a training that ran concurrently."""

    copies: int
    images_per_s: float
    """Throughput of all copies together."""
    process_gib: float
    """The most GPU memory that one copy takes: tensors, cache, and the process itself."""
    gpu_gib: float
    """The GPU's whole memory; 0 without a GPU."""


def train_concurrently(
    config: TrainConfig,
    copies: int,
    *,
    gpu: float,
    threads: int,
    allow_custom_model: bool = False,
    seconds: float = TRAINING_S,
) -> ConcurrencyResult | None:
    """Trains copies of one training at the same time; writes nothing.

    Args:
        config: Complete settings.
        copies: Number of copies.
        gpu: The share of a GPU that each copy may use; 0 for the CPU.
        threads: The CPU threads of each copy.
        allow_custom_model: Whether `model.name` may import a callable of the user's.
        seconds: How long to train.

    Returns:
        The measurements, or None if there is too little memory for so many copies.

    Raises:
        ExperimentError: A single copy cannot be trained, for another reason; the text says why.
    """
    request = {
        "config": config.to_dict(),
        "gpu": gpu,
        "threads": threads,
        "allow_custom_model": allow_custom_model,
        "seconds": seconds,
    }
    with tempfile.TemporaryFile("w+") as errors:
        processes = [_start_copy(errors) for _ in range(copies)]
        try:
            lines = _run_copies(processes, json.dumps(request))
            codes = [process.wait() for process in processes] if lines is None else []
        finally:
            for process in processes:
                process.kill()
                with process:
                    pass  # waits for it and closes its pipes
        if lines is None:
            if copies > 1 or OUT_OF_MEMORY_EXIT_CODE in codes:
                return None
            errors.seek(0)
            last_line = errors.read().strip().splitlines()[-1:] or [f"exit code {codes[0]}"]
            raise ExperimentError(f"{config.model.name} cannot be measured: {last_line[0]}")
    measurements = [json.loads(line) for line in lines]
    return ConcurrencyResult(
        copies,
        sum(copy["images_per_s"] for copy in measurements),
        max(copy["process_gib"] for copy in measurements),
        measurements[0]["gpu_gib"],
    )


def _start_copy(errors: TextIO) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "trainable.profiling.concurrent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env={
            **os.environ,
            **queue_settings(os.environ),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
    )


def _run_copies(processes: list[subprocess.Popen[str]], request: str) -> list[str] | None:
    """Returns the last line of every copy, or None as soon as one has failed.

    The other copies then end, too.
    """
    for process in processes:
        _write_line(process, request)
    ready = [_read_line(process) == READY for process in processes]
    if all(ready):
        for process in processes:
            _write_line(process, "go")
        lines = [_read_line(process) for process in processes]
        if all(lines):
            return lines
    for process in processes:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    return None


def _write_line(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended, which the next read shows
        process.stdin.write(line + "\n")
        process.stdin.flush()


def _read_line(process: subprocess.Popen[str]) -> str:
    """Returns a line that a process has printed; empty when the process has ended."""
    assert process.stdout is not None
    return process.stdout.readline()


def main() -> None:
    """Runs one of the copies."""
    # What a model or a library prints must not reach the pipe.
    with os.fdopen(os.dup(1), "w") as output:
        os.dup2(2, 1)
        request = json.loads(sys.stdin.readline())
        try:
            _train_copy(request, output)
        except torch.cuda.OutOfMemoryError:
            sys.exit(OUT_OF_MEMORY_EXIT_CODE)


def _train_copy(request: dict[str, Any], output: TextIO) -> None:
    device = limited_device(request["gpu"])
    torch.set_num_threads(max(1, request["threads"]))
    config = parse_config(request["config"])
    trainer = Trainer(
        config,
        device=device,
        num_workers=min(config.dataset.num_workers, request["threads"]),
        allow_custom_model=request["allow_custom_model"],
        pretrained=False,  # the weights' values change no cost
    )
    stream = _CountedBatches(endless_batches(trainer))
    train(trainer, islice(stream, warm_up_batches(trainer)))
    output.write(READY)
    output.flush()
    if not sys.stdin.readline():
        return  # another copy has failed
    stream.images, started = 0, time.perf_counter()
    while time.perf_counter() - started < request["seconds"]:
        train(trainer, islice(stream, TIMED_BATCHES))
    images_per_s = stream.images / (time.perf_counter() - started)
    process_gib, gpu_gib = _measure_memory_gib(device)
    result = {"images_per_s": images_per_s, "process_gib": process_gib, "gpu_gib": gpu_gib}
    output.write(json.dumps(result) + "\n")


class _CountedBatches:
    """Batches, and the number of images in those that have been taken."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self.images = 0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        batch = next(self._batches)
        self.images += len(batch[1])
        return batch


def _measure_memory_gib(device: torch.device) -> tuple[float, float]:
    """Returns the GPU memory that this process takes, and the GPU's whole memory.

    All memory in use besides torch's own is counted as this process's. That is right where the
    process has the GPU to itself, and too much otherwise.
    """
    if device.type != "cuda":
        return 0.0, 0.0
    free, total = torch.cuda.mem_get_info(device)
    outside_torch = total - free - torch.cuda.memory_reserved(device)
    return (torch.cuda.max_memory_reserved(device) + outside_torch) / GIB, total / GIB


if __name__ == "__main__":
    main()
