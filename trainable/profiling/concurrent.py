"""What several copies of one training do together on one card, each in a process of its own.

`python -m trainable.profiling.concurrent` is one of these processes. It reads what to train as
JSON, says `ready`, waits for a line, trains for a while, and says what came of it.
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
from trainable.profiling.cost import TIMED, endless, train, warm_up
from trainable.training.device import limited_device
from trainable.training.gpu_queue import queue_settings
from trainable.training.trainer import GIB, Trainer

SECONDS = 3.0
"""That the copies train, all at the same time."""
OUT_OF_MEMORY = 3
"""Exit code."""
READY = "ready\n"


@dataclass(frozen=True)
class Together:
    """What some copies of a training do at once."""

    copies: int
    images_per_s: float
    """Of all of them."""
    process_gib: float
    """The most that one of them takes of the card: tensors, cache, and the process itself."""
    card_gib: float
    """All of the card; 0 without one."""


def train_together(
    config: TrainConfig,
    copies: int,
    *,
    gpu: float,
    threads: int,
    allow_custom_model: bool = False,
    seconds: float = SECONDS,
) -> Together | None:
    """Trains copies of one training at once; nothing is written.

    Args:
        config: Complete settings.
        copies: How many.
        gpu: The part of a card that each may use; 0 for the CPU.
        threads: Of the CPU, for each.
        allow_custom_model: Whether `model.name` may import a callable of the user's.
        seconds: How long.

    Returns:
        None where memory does not suffice for so many.

    Raises:
        ExperimentError: Not even one copy can be trained, for another reason; it says which.
    """
    order = {
        "config": config.to_dict(),
        "gpu": gpu,
        "threads": threads,
        "allow_custom_model": allow_custom_model,
        "seconds": seconds,
    }
    with tempfile.TemporaryFile("w+") as errors:
        processes = [_started(errors) for _ in range(copies)]
        try:
            answers = _answers(processes, json.dumps(order))
            codes = [process.wait() for process in processes] if answers is None else []
        finally:
            for process in processes:
                process.kill()
                with process:
                    pass  # waits for it and closes its pipes
        if answers is None:
            if copies > 1 or OUT_OF_MEMORY in codes:
                return None
            errors.seek(0)
            last = errors.read().strip().splitlines()[-1:] or [f"exit code {codes[0]}"]
            raise ExperimentError(f"{config.model.name} cannot be measured: {last[0]}")
    each = [json.loads(line) for line in answers]
    return Together(
        copies,
        sum(one["images_per_s"] for one in each),
        max(one["process_gib"] for one in each),
        each[0]["card_gib"],
    )


def _started(errors: TextIO) -> subprocess.Popen[str]:
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


def _answers(processes: list[subprocess.Popen[str]], order: str) -> list[str] | None:
    """What each says in the end; None as soon as one has failed, the others then end, too."""
    for process in processes:
        _send(process, order)
    ready = [_heard(process) == READY for process in processes]
    if all(ready):
        for process in processes:
            _send(process, "go")
        found = [_heard(process) for process in processes]
        if all(found):
            return found
    for process in processes:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    return None


def _send(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended, which is heard of next
        process.stdin.write(line + "\n")
        process.stdin.flush()


def _heard(process: subprocess.Popen[str]) -> str:
    """A line of a process; empty when it has ended."""
    assert process.stdout is not None
    return process.stdout.readline()


def main() -> None:
    """Is one of the processes."""
    # What a model or a library prints is not an answer.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        order = json.loads(sys.stdin.readline())
        try:
            _obey(order, answers)
        except torch.cuda.OutOfMemoryError:
            sys.exit(OUT_OF_MEMORY)


def _obey(order: dict[str, Any], answers: TextIO) -> None:
    device = limited_device(order["gpu"])
    torch.set_num_threads(max(1, order["threads"]))
    config = parse_config(order["config"])
    trainer = Trainer(
        config,
        device=device,
        num_workers=min(config.dataset.num_workers, order["threads"]),
        allow_custom_model=order["allow_custom_model"],
    )
    stream = _Counted(endless(trainer))
    train(trainer, islice(stream, warm_up(trainer)))
    answers.write(READY)
    answers.flush()
    if not sys.stdin.readline():
        return  # another one has failed
    stream.images, started = 0, time.perf_counter()
    while time.perf_counter() - started < order["seconds"]:
        train(trainer, islice(stream, TIMED))
    images_per_s = stream.images / (time.perf_counter() - started)
    process, card = _memory_gib(device)
    found = {"images_per_s": images_per_s, "process_gib": process, "card_gib": card}
    answers.write(json.dumps(found) + "\n")


class _Counted:
    """Batches, and how many images have been in them."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self.images = 0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        batch = next(self._batches)
        self.images += len(batch[1])
        return batch


def _memory_gib(device: torch.device) -> tuple[float, float]:
    """What this process takes of the card, and all that the card has.

    What is in use besides torch's own memory is taken for this process's, which is right where
    it is alone, and too much otherwise.
    """
    if device.type != "cuda":
        return 0.0, 0.0
    free, there = torch.cuda.mem_get_info(device)
    besides = there - free - torch.cuda.memory_reserved(device)
    return (torch.cuda.max_memory_reserved(device) + besides) / GIB, there / GIB


if __name__ == "__main__":
    main()
