"""Why a trial failed, as Ray's exceptions tell it, and what follows from its failures so far."""

import pickle
from typing import Any

import pytest
import torch
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

from sweeps.spec.settings import FailurePolicy
from sweeps.sweep_dir.layout import Cause, Failure, TrialRecord
from sweeps.trials.failures import (
    LOST_WORKER_LIMIT,
    Verdict,
    cause_of,
    describe,
    describe_nan,
    halved,
    judge,
)
from trainable.errors import CheckpointError, ConfigError, DataError, DiskFullError, Problem

GIVE_UP = Verdict(retry=False)
AGAIN = Verdict(retry=True)
ALONE = Verdict(retry=True, alone=True)
HALVED = Verdict(retry=True, alone=True, halve=True)


def from_worker(error: Exception) -> RayTaskError:
    """An exception as it comes from a worker: its class may be unknown here, its text is not."""
    kind = type(error)
    text = (
        "Traceback (most recent call last):\n"
        '  File "classifier.py", line 107, in step\n'
        "    row = trainer.run_epoch()\n"
        f"{kind.__module__}.{kind.__qualname__}: {error}"
    )
    return RayTaskError("ImplicitFunc.train", text, error, pid=7, ip="127.0.0.1")


CASES: list[tuple[Cause, Exception]] = [
    ("oom", from_worker(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))),
    ("oom", from_worker(RuntimeError("CUDA error: out of memory"))),
    ("oom", from_worker(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"))),
    (
        "oom",
        from_worker(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")),
    ),
    ("oom", from_worker(RuntimeError("DefaultCPUAllocator: not enough memory: you tried to"))),
    ("oom", from_worker(OSError(12, "Cannot allocate memory"))),
    ("oom", from_worker(MemoryError())),
    ("oom", from_worker(RuntimeError("std::bad_alloc"))),
    ("oom", OutOfMemoryError("Task was killed due to the node running low on memory.")),
    ("lost_worker", RayActorError(error_msg="The actor died unexpectedly before finishing.")),
    ("lost_worker", RayActorError(error_msg="its node has been marked dead", preempted=True)),
    ("disk_full", from_worker(DiskFullError("/x: 0.10 GiB are free on the disk"))),
    ("disk_full", from_worker(OSError(28, "No space left on device"))),
    ("checkpoint", from_worker(CheckpointError("latest.pt: expected a whole checkpoint"))),
    ("data", from_worker(DataError("no MNIST below ./data"))),
    ("error", from_worker(RuntimeError("a bad day"))),
    ("error", from_worker(ConfigError("trial", [Problem("model.name", "unknown name")]))),
    ("error", from_worker(ValueError("MyDataErrors are not ours, nor is a CheckpointErrors"))),
    ("error", ValueError("raised in the driver")),
    ("error", TimeoutError()),
]


@pytest.mark.parametrize(
    ("cause", "error"), CASES, ids=[f"{cause}{n}" for n, (cause, _) in enumerate(CASES)]
)
def test_every_exception_has_its_cause(cause: Cause, error: Exception) -> None:
    assert cause_of(error) == cause


def test_a_cause_survives_the_way_through_rays_pickles() -> None:
    error = from_worker(CheckpointError("latest.pt is broken"))
    assert cause_of(pickle.loads(pickle.dumps(error))) == "checkpoint"
    assert cause_of(error.as_instanceof_cause()) == "checkpoint"


def test_a_failure_is_described_by_its_last_line_and_kept_whole() -> None:
    error = from_worker(RuntimeError("a bad day"))
    found = describe(error, "error", 4, "trial/checkpoint_000003")
    assert found.message == "builtins.RuntimeError: a bad day"
    assert "trainer.run_epoch()" in found.traceback
    assert "\x1b" not in found.traceback
    assert (found.cause, found.epoch, found.checkpoint) == ("error", 4, "trial/checkpoint_000003")


def test_an_exception_without_a_text_is_named() -> None:
    assert describe(TimeoutError(), "error", 0, None).message == "TimeoutError"


def test_a_loss_that_is_no_number_is_described_by_its_epoch_and_losses() -> None:
    row = {"epoch": 3, "train_loss": float("nan"), "val_loss": 2.5, "val_acc": 0.1}
    found = describe_nan(row)
    assert (found.cause, found.epoch, found.checkpoint) == ("nan", 3, None)
    assert found.message == (
        "the loss is not finite after epoch 3: {'train_loss': nan, 'val_loss': 2.5}"
    )


def verdict(*causes: Cause | tuple[Cause, int], forgiven: int = 0, **policy: Any) -> Verdict:
    """On the last of failures of these causes, each at the next epoch unless it says which."""
    told = [(cause, n) if isinstance(cause, str) else cause for n, cause in enumerate(causes)]
    failures = [Failure(cause, "message", "", epoch, None, "now") for cause, epoch in told]
    record = TrialRecord("id", 0, "trial", {}, failures=failures, forgiven=forgiven)
    return judge(record, FailurePolicy(**policy))


def test_out_of_memory_goes_on_alone_then_in_halves_then_is_given_up() -> None:
    assert verdict("oom") == ALONE
    assert verdict("oom", "oom") == HALVED
    assert not verdict("oom", "oom", "oom").retry


def test_out_of_memory_can_be_given_up_at_once() -> None:
    assert verdict("oom", oom="give_up") == GIVE_UP
    assert verdict("oom", oom="give_up", max_retries=9) == GIVE_UP


@pytest.mark.parametrize("cause", ["error", "data", "checkpoint"])
def test_anything_else_is_tried_again_max_retries_times(cause: Cause) -> None:
    assert [verdict(*[cause] * n, max_retries=2) for n in (1, 2, 3)] == [AGAIN, AGAIN, GIVE_UP]
    assert verdict(cause, max_retries=0) == GIVE_UP


def test_a_trial_that_diverged_is_not_tried_again() -> None:
    assert verdict("nan", max_retries=9) == GIVE_UP
    assert verdict("lost_worker", "nan") == GIVE_UP


def test_lost_workers_and_memory_do_not_count_against_max_retries() -> None:
    lost: list[Cause] = ["lost_worker"] * 10
    assert verdict(*lost, "error", max_retries=1) == AGAIN
    assert verdict("oom", "oom", "disk_full", "error", max_retries=1) == AGAIN
    assert verdict(*lost, "oom") == ALONE


def test_a_worker_may_be_lost_again_and_again_while_the_trial_gets_on() -> None:
    assert verdict(*(("lost_worker", epoch) for epoch in range(20)), max_retries=0) == AGAIN


def test_a_trial_that_loses_every_worker_at_the_same_epoch_is_to_blame() -> None:
    stuck: list[tuple[Cause, int]] = [("lost_worker", 2)] * LOST_WORKER_LIMIT
    assert verdict(*stuck) == AGAIN
    assert verdict(*stuck, ("lost_worker", 2)) == GIVE_UP
    assert verdict(*stuck, ("lost_worker", 3)) == AGAIN


def test_a_full_disk_is_tried_again_when_the_sweep_goes_on() -> None:
    assert verdict(*["disk_full"] * 20, max_retries=0) == AGAIN


def test_failures_before_a_retry_by_hand_are_forgiven() -> None:
    assert verdict("oom", "oom", "oom", "oom", forgiven=3) == ALONE
    assert verdict("error", "error", "error", forgiven=2, max_retries=1) == AGAIN


def test_a_batch_is_halved_by_doubling_its_parts_until_it_cannot_be() -> None:
    config: dict[str, Any] = {"model": {}, "training": {"batch_size": 12, "epochs": 3}}
    once = halved(config)
    assert once == {
        "model": {},
        "training": {"batch_size": 12, "epochs": 3, "accumulation_steps": 2},
    }
    twice = halved(once)
    assert twice is not None
    assert twice["training"]["accumulation_steps"] == 4
    assert halved(twice) is None
    assert halved({"training": {"batch_size": 1}}) is None
    assert "accumulation_steps" not in config["training"]
