"""Chooses where a training runs, and limits how much of a GPU's memory it may take."""

from __future__ import annotations

import torch

GIB = 2**30
"""Bytes in a GiB."""

_memory_fractions: dict[int, float] = {}
"""Fraction of each GPU's memory that this process may allocate, by device index."""


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


def gpu_peak_memory_gib(device: torch.device) -> float | None:
    """Returns the most GPU memory that torch has allocated since the last reset of its statistics.

    Args:
        device: The training's device; None is returned for the CPU.
    """
    if device.type != "cuda":
        return None
    return torch.cuda.max_memory_allocated(device) / GIB
