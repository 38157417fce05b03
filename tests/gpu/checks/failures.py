"""A recording that fails: that training goes on, and so does everything else in its process."""

from __future__ import annotations

import torch

from tests.gpu.checks.common import (
    ON_GPU,
    Check,
    assert_close,
    assert_recorded,
    losses,
    need_gpu,
    state_of,
    trained,
    trainer_of,
)

OWN = "tests.gpu.models:"


def _goes_on_eagerly(model: str, reason: str) -> str:
    results = []
    for graph in (False, True):
        trainer = trainer_of(graph=graph, model=f"{OWN}{model}")
        rows = trained(trainer)
        results.append((state_of(trainer), losses(rows)))
    assert trainer.graphs is not None
    failure = trainer.graphs.failure
    assert failure is not None, "it was recorded"
    assert reason in failure, failure
    return f"{assert_close(results[1], results[0], 0.0)} as eager: {failure}"


def step_that_waits() -> str:
    """Found before a recording is tried."""
    return _goes_on_eagerly("Peeks", "waits for the GPU")


def recording_that_fails() -> str:
    """Not found before: the recording itself breaks off. Its dropout draws on afterwards."""
    need_gpu()
    return _goes_on_eagerly("Waits", "")


def memory_after_it() -> str:
    if ON_GPU:
        torch.cuda.empty_cache()
    return "empty_cache works"


def dropout_after_it() -> str:
    row = trained(trainer_of(model=f"{OWN}Drops"), 1)[0]
    return f"an eager model draws, loss {row['train_loss']:.3f}"


def recording_after_it() -> str:
    results = []
    for graph in (False, "auto"):
        trainer = trainer_of(graph=graph)
        rows = trained(trainer)
        results.append((state_of(trainer), losses(rows)))
    assert_recorded(rows[-1])
    return f"the next training is recorded, {assert_close(results[1], results[0], 1e-2)}"


def dropout_recorded_after_it() -> str:
    rows = trained(trainer_of(graph=True, model=f"{OWN}Drops"))
    assert_recorded(rows[-1])
    return f"loss {rows[-1]['train_loss']:.3f}"


CHECKS: dict[str, Check] = {
    "a step waits": step_that_waits,
    "a recording fails": recording_that_fails,
    "memory after it": memory_after_it,
    "dropout after it": dropout_after_it,
    "recording after it": recording_after_it,
    "recorded dropout": dropout_recorded_after_it,
}
