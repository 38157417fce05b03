"""Where a training runs, and how much of a card it may take."""

from __future__ import annotations

import torch


def fenced_device(gpu: float) -> torch.device:
    """The card, memory fenced to a fraction of it; the CPU for none."""
    if gpu == 0 or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda")
    torch.cuda.reset_peak_memory_stats(device)
    torch.cuda.set_per_process_memory_fraction(min(gpu, 1.0), device)
    return device
