"""`python -m tests.gpu.about`: versions, and how fast the device multiplies and copies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import optuna
import pydantic
import ray
import torch

ON_GPU = torch.cuda.is_available()
SIZE, BYTES = (8192, 2**31) if ON_GPU else (512, 2**24)


def seconds(work: Callable[[], object], times: int = 10) -> float:
    """Returns the mean time of some work, after a warm-up."""
    for _ in range(3):
        work()
    _synchronize()
    started = time.perf_counter()
    for _ in range(times):
        work()
    _synchronize()
    return (time.perf_counter() - started) / times


def _synchronize() -> None:
    if ON_GPU:
        torch.cuda.synchronize()


def main() -> None:
    """Prints them."""
    device = torch.device("cuda" if ON_GPU else "cpu")
    dtype = torch.bfloat16 if ON_GPU else torch.float32
    left, right = (torch.randn(SIZE, SIZE, device=device, dtype=dtype) for _ in range(2))
    tflops = 2 * SIZE**3 / seconds(lambda: left @ right) / 1e12
    source = torch.empty(BYTES, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    tbytes = 2 * BYTES / seconds(lambda: target.copy_(source)) / 1e12
    name = torch.cuda.get_device_name() if ON_GPU else f"CPU, {os.cpu_count()} cores"
    cudnn = torch.backends.cudnn.version() if ON_GPU else None
    print(f"ok  {name}: {dtype} {tflops:.2f} TFLOP/s, copies {tbytes:.3f} TB/s")
    print(f"ok  python {sys.version.split()[0]}, torch {torch.__version__}, cudnn {cudnn}")
    print(f"ok  ray {ray.__version__}, pydantic {pydantic.VERSION}, optuna {optuna.__version__}")


if __name__ == "__main__":
    main()
