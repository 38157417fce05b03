"""Chooses where a training runs, how much of a GPU's memory it may take, and its CPU threads.

Several threads add up numbers in another order than one, so the last bits of a training's results
differ with their number. A trial of a sweep has as many as `resources.cpu`, a training alone one
per core. Under `seed.deterministic` a training records the number in its config and uses it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch

from trainable.artifacts.checkpoint import CONFIG
from trainable.config import TrainConfig
from trainable.data.cache.memory import name_machine, usable_share
from trainable.errors import is_out_of_memory

GIB = 2**30
"""Bytes in a GiB."""
OF_A_GPU = re.compile("CUDA|CUBLAS|CUDNN", re.IGNORECASE)
"""Part of the messages about a GPU's memory, which those about main memory do not have."""

_memory_fractions: dict[int, float] = {}
"""Fraction of each GPU's memory that this process may allocate, by device index."""

_own_threads: int | None = None
"""The threads of this process, while a training has changed them."""


def default_device() -> torch.device:
    """Returns the current GPU with its index, or the CPU on a machine without one."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return with_index(torch.device("cuda"))


def with_index(device: torch.device) -> torch.device:
    """Returns a GPU with its index, which some functions of torch require."""
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", torch.cuda.current_device())


def limited_device(gpu: float) -> torch.device:
    """Returns the device for a share of a GPU, and limits this process to that share's memory.

    Args:
        gpu: A share of a GPU, or a number of GPUs; 0 means the CPU.
    """
    device = torch.device("cpu") if gpu == 0 else default_device()
    if device.type == "cuda":
        fraction = min(float(gpu), 1.0)
        torch.cuda.reset_peak_memory_stats(device)
        # Takes no device without an index, unlike most functions of torch.cuda.
        torch.cuda.set_per_process_memory_fraction(fraction, device)
        _memory_fractions[device.index] = fraction
    return device


def leave_default_stream(device: torch.device) -> None:
    """Switches this thread from a GPU's default stream to a stream of its own.

    CUDA graphs cannot be recorded on the default stream. A recording on another stream than the
    one that the model's earlier batches ran on can be invalidated by tensors that the model has
    kept. One stream per training avoids both.
    """
    if torch.cuda.current_stream(device) == torch.cuda.default_stream(device):
        torch.cuda.set_stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]


def free_memory(device: torch.device) -> int:
    """Returns the bytes of a GPU that this process may still allocate for tensors."""
    free, total = torch.cuda.mem_get_info(device)
    reserved = torch.cuda.memory_reserved(device)
    limit = int(total * _memory_fractions.get(device.index, 1.0))
    cached = reserved - torch.cuda.memory_allocated(device)
    return max(0, min(free, limit - reserved) + cached)


@contextmanager
def naming_device(gpu: float) -> Iterator[None]:
    """Adds to an error about memory that ran out a line about the device's memory.

    An error about main memory says nothing of a GPU, so it gets no line there.

    The sweep reads it with `sweeps.trials.oom_memory.DEVICE_LINE`.

    Args:
        gpu: The training's share of a GPU, or its number of GPUs; 0 means the CPU.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or is_out_of_memory(str(error)):
            device = torch.device("cpu") if gpu == 0 else default_device()
            if device.type != "cuda" or _is_of_gpu(error):
                with suppress(RuntimeError):  # the GPU cannot be used at all any more
                    error.add_note(describe_memory(device))
        raise


def _is_of_gpu(error: MemoryError | RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or OF_A_GPU.search(str(error)) is not None


def describe_memory(device: torch.device) -> str:
    """Returns a line about a device's memory: all of it, this process's share, and what is left.

    What is left is the share, or less if other processes use the device.
    """
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        share = _memory_fractions.get(device.index, 1.0)
        usable = min(share, (free + torch.cuda.memory_reserved(device)) / total)
    else:
        share, usable = 1.0, usable_share()
    return (
        f"on {name_device(device)}, of which this process may use {100 * share:.4g} % and could "
        f"use {100 * usable:.4g} %"
    )


def name_device(device: torch.device) -> str:
    """Returns a GPU's name with its memory, or `cpu` with that of the machine."""
    if device.type == "cuda":
        _, total = torch.cuda.mem_get_info(device)
        return f"{torch.cuda.get_device_name(device)} ({total / GIB:.1f} GiB)"
    return name_machine()


def name_own_device() -> str:
    """Returns the name of the device that a training in this process gets."""
    return name_device(default_device())


def gpu_peak_memory_gib(device: torch.device) -> float | None:
    """Returns the most GPU memory that torch has allocated since the last reset of its statistics.

    Args:
        device: The training's device; None is returned for the CPU.
    """
    if device.type != "cuda":
        return None
    return torch.cuda.max_memory_allocated(device) / GIB


def process_threads() -> int:
    """Returns the threads that a training in this process has if its config names no number."""
    return torch.get_num_threads() if _own_threads is None else _own_threads


def set_threads(count: int | None) -> None:
    """Sets the threads of this process; None restores those that it had at first."""
    global _own_threads
    if count is None and _own_threads is None:
        return
    own = process_threads()
    torch.set_num_threads(own if count is None else count)
    _own_threads = None if count is None else own


def with_threads(config: TrainConfig, count: int) -> TrainConfig:
    """Returns a config with this number of threads if it names none."""
    if config.seed.threads is not None:
        return config
    seed = config.seed.model_copy(update={"threads": count})
    return config.model_copy(update={"seed": seed})


def with_process_threads(config: TrainConfig) -> TrainConfig:
    """Returns a deterministic config with the number of threads that it is trained with."""
    return with_threads(config, process_threads()) if config.seed.deterministic else config


def with_saved_threads(config: TrainConfig, state: dict[str, Any] | None) -> TrainConfig:
    """Returns a deterministic config with the threads of the training that it continues.

    Args:
        config: Complete settings.
        state: The checkpoint that the training continues from, or None. Those of other programs
            and earlier versions name no number.
    """
    saved = None if state is None else state[CONFIG].get("seed")
    count = saved.get("threads") if isinstance(saved, Mapping) else None
    if not config.seed.deterministic or not isinstance(count, int):
        return config
    return with_threads(config, count)


def describe_threads(config: TrainConfig) -> list[str]:
    """Returns lines for the user on the threads of a training whose config names them."""
    count, own, lines = config.seed.threads, process_threads(), list[str]()
    if count is not None and config.seed.deterministic:
        unit = "thread" if count == 1 else "threads"
        lines.append(f"seed.deterministic: the results hold for {count} CPU {unit} (seed.threads)")
    if count is not None and count > own:
        lines.append(
            f"seed.threads is {count} and this process has {own}: the results are the same, but "
            "it is slower"
        )
    return lines
