"""Many recordings in one process, one after the other."""

from __future__ import annotations

import gc

import torch

from tests.gpu.checks.common import (
    BATCH,
    ON_GPU,
    SHAPE,
    Check,
    assert_recorded,
    trained,
    trainer_of,
)

RECORDINGS, SETTLED = (100, 20) if ON_GPU else (4, 2)
"""Trainings in all, and those after which the memory in use should no longer grow."""
TOLERANCE_GIB = 0.01


def memory_stays() -> str:
    """Compares the memory after the first trainings with that after all of them."""
    reserved, used = [], []
    for number in range(1, RECORDINGS + 1):
        trainer = trainer_of(
            graph=True,
            amp="bfloat16",
            model="tests.gpu.models:Drops",
            training={"epochs": 1},
            dataset={
                "name": "synthetic",
                "num_train": 6 * BATCH,
                "num_test": 5 * BATCH,
                "shape": SHAPE,
            },
        )
        assert_recorded(trained(trainer, 1)[-1])
        del trainer
        gc.collect()
        if ON_GPU:
            torch.cuda.empty_cache()
            free, total = torch.cuda.mem_get_info()
            reserved.append(torch.cuda.memory_reserved() / 2**30)
            used.append((total - free) / 2**30)
        if number == SETTLED:
            settled = len(reserved) - 1
    if not ON_GPU:
        return f"{RECORDINGS} trainings"
    growth = reserved[-1] - reserved[settled]
    assert growth <= TOLERANCE_GIB, f"{reserved[settled]:.3f} to {reserved[-1]:.3f} GiB reserved"
    return (
        f"{RECORDINGS} trainings: {reserved[settled]:.3f} to {reserved[-1]:.3f} GiB reserved, "
        f"{used[settled]:.2f} to {used[-1]:.2f} in use of the GPU"
    )


CHECKS: dict[str, Check] = {"100 recordings": memory_stays}
