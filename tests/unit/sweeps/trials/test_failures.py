"""Causes of failures in Ray's exceptions, and retries after a series of failures."""

import pickle
from typing import Any

import pytest
import torch
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

from sweeps.spec.settings import FailurePolicy
from sweeps.sweep_dir.records import Cause, Failure, TrialRecord
from sweeps.trials.failures import (
    LOST_WORKER_LIMIT,
    RetryDecision,
    decide_retry,
    describe,
    describe_nan,
    describe_parts,
    find_cause,
    halve_batches,
)
from trainable.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    DiskFullError,
    ExperimentError,
    ModelError,
    Problem,
)

GIVE_UP = RetryDecision(retry=False)
AGAIN = RetryDecision(retry=True)
ALONE = RetryDecision(retry=True, alone=True)
HALVED = RetryDecision(retry=True, alone=True, halve=True)


def from_worker(error: Exception) -> RayTaskError:
    """Returns an exception as Ray passes it from a worker: with its traceback as text."""
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
    ("config", from_worker(ConfigError("trial", [Problem("model.name", "unknown name")]))),
    ("config", from_worker(ModelError("its state cannot be saved"))),
    ("config", from_worker(ExperimentError("latest.pt has completed epoch 3 of 3"))),
    (
        "error",
        from_worker(
            RuntimeError("unable to write to file </torch_7_1_0>: No space left on device (28)")
        ),
    ),
    ("error", from_worker(OSError(28, "No space left on device", "/dev/shm/torch_7"))),
    ("error", from_worker(ValueError("MyDataErrors are not ours, nor is a CheckpointErrors"))),
    ("error", ValueError("raised in the driver")),
    ("error", TimeoutError()),
]


@pytest.mark.parametrize(
    ("cause", "error"), CASES, ids=[f"{cause}{n}" for n, (cause, _) in enumerate(CASES)]
)
def test_every_exception_has_a_cause(cause: Cause, error: Exception) -> None:
    assert find_cause(error) == cause


def test_a_cause_survives_pickling() -> None:
    error = from_worker(CheckpointError("latest.pt is broken"))
    assert find_cause(pickle.loads(pickle.dumps(error))) == "checkpoint"
    assert find_cause(error.as_instanceof_cause()) == "checkpoint"


def test_a_lost_worker_is_described_in_words_and_keeps_rays_report() -> None:
    report = "The actor died unexpectedly.\n\tclass_name: Trainable\nIts node is gone."
    failure = describe(RayActorError(error_msg=report), "lost_worker", 4, None)
    assert failure.message == "the process or the machine of the trial's worker died"
    assert failure.traceback == report


def test_a_failure_is_described_by_its_text_and_line_of_code() -> None:
    error = from_worker(RuntimeError("a bad day"))
    failure = describe(error, "error", 4, "trial/checkpoint_000003")
    assert failure.message == (
        "RuntimeError: a bad day (classifier.py:107: row = trainer.run_epoch())"
    )
    assert "trainer.run_epoch()" in failure.traceback
    assert "\x1b" not in failure.traceback
    assert (failure.cause, failure.epoch, failure.checkpoint) == (
        "error",
        4,
        "trial/checkpoint_000003",
    )


def test_an_exception_without_text_is_described_by_its_class() -> None:
    assert describe(TimeoutError(), "error", 0, None).message == "TimeoutError"


def test_a_loss_that_is_not_finite_is_described_by_its_epoch_and_losses() -> None:
    row = {"epoch": 3, "train_loss": float("nan"), "val_loss": 2.5, "val_acc": 0.1}
    failure = describe_nan(row)
    assert (failure.cause, failure.epoch, failure.checkpoint) == ("nan", 3, None)
    assert failure.message == (
        "the loss is not finite after epoch 3: {'train_loss': nan, 'val_loss': 2.5}"
    )


def decide(*causes: Cause | tuple[Cause, int], ignored: int = 0, **policy: Any) -> RetryDecision:
    """Decides after failures of these causes, each at the next epoch unless it names one."""
    pairs = [(cause, n) if isinstance(cause, str) else cause for n, cause in enumerate(causes)]
    failures = [Failure(cause, "message", "", epoch, None, "now") for cause, epoch in pairs]
    record = TrialRecord("id", 0, "trial", {}, failures=failures, ignored_failures=ignored)
    return decide_retry(record, FailurePolicy(**policy))


def test_out_of_memory_is_retried_alone_then_with_halved_batches_then_given_up() -> None:
    assert decide("oom") == ALONE
    assert decide("oom", "oom") == HALVED
    assert not decide("oom", "oom", "oom").retry


def test_out_of_memory_can_be_given_up_immediately() -> None:
    assert decide("oom", oom="give_up") == GIVE_UP
    assert decide("oom", oom="give_up", max_retries=9) == GIVE_UP


@pytest.mark.parametrize("cause", ["nan", "config", "data", "checkpoint"])
def test_causes_that_a_retry_does_not_remove_are_given_up(cause: Cause) -> None:
    assert decide(cause, max_retries=9) == GIVE_UP


def test_other_causes_are_retried_max_retries_times() -> None:
    assert [decide(*["error"] * n, max_retries=2) for n in (1, 2, 3)] == [AGAIN, AGAIN, GIVE_UP]
    assert decide("error", max_retries=0) == GIVE_UP


@pytest.mark.parametrize(
    ("error", "decision"),
    [
        (TypeError("'NoneType' object is not callable"), GIVE_UP),
        (KeyError("fc"), GIVE_UP),
        (RuntimeError("TypeError is what it was"), AGAIN),
        (ConnectionError("reset by peer"), AGAIN),
    ],
)
def test_a_mistake_in_code_is_not_retried(error: Exception, decision: RetryDecision) -> None:
    received = from_worker(error)
    failure = describe(received, find_cause(received), 0, None)
    record = TrialRecord("id", 0, "trial", {}, failures=[failure])
    assert decide_retry(record, FailurePolicy()) == decision


def test_a_diverged_trial_is_not_retried() -> None:
    assert decide("nan", max_retries=9) == GIVE_UP
    assert decide("lost_worker", "nan") == GIVE_UP


def test_lost_workers_and_memory_do_not_count_against_max_retries() -> None:
    lost: list[Cause] = ["lost_worker"] * 10
    assert decide(*lost, "error", max_retries=1) == AGAIN
    assert decide("oom", "oom", "disk_full", "error", max_retries=1) == AGAIN
    assert decide(*lost, "oom") == ALONE


def test_lost_workers_are_retried_while_the_trial_completes_epochs() -> None:
    assert decide(*(("lost_worker", epoch) for epoch in range(20)), max_retries=0) == AGAIN


def test_a_trial_that_loses_its_workers_at_the_same_epoch_is_given_up() -> None:
    stuck: list[tuple[Cause, int]] = [("lost_worker", 2)] * LOST_WORKER_LIMIT
    assert decide(*stuck) == AGAIN
    assert decide(*stuck, ("lost_worker", 2)) == GIVE_UP
    assert decide(*stuck, ("lost_worker", 3)) == AGAIN


def test_a_full_disk_is_retried_when_the_sweep_is_resumed() -> None:
    assert decide(*["disk_full"] * 20, max_retries=0) == AGAIN


def test_failures_before_a_manual_retry_are_ignored() -> None:
    assert decide("oom", "oom", "oom", "oom", ignored=3) == ALONE
    assert decide("error", "error", "error", ignored=2, max_retries=1) == AGAIN


def test_halving_batches_doubles_accumulation_steps_until_parts_have_two_images() -> None:
    config: dict[str, Any] = {"model": {}, "training": {"batch_size": 12, "epochs": 3}}
    once = halve_batches(config)
    assert once == {
        "model": {},
        "training": {"batch_size": 12, "epochs": 3, "accumulation_steps": 2},
    }
    twice = halve_batches(once)
    assert twice is not None
    assert twice["training"]["accumulation_steps"] == 4
    thrice = halve_batches(twice)
    assert thrice is not None
    assert thrice["training"]["accumulation_steps"] == 6
    assert halve_batches(thrice) is None


@pytest.mark.parametrize(
    ("batch_size", "steps", "halved", "parts"),
    [
        (33, 1, 2, "33 in parts of 17 and 16"),
        (7, 2, 3, "7 in parts of 3 and 2"),
        (5, 1, 2, "5 in parts of 3 and 2"),
        (4, 1, 2, "4 in parts of 2"),
        (3, 1, None, "3"),
        (2, 1, None, "2"),
        (1, 1, None, "1"),
        (6, 6, None, "6 in parts of 1"),
    ],
)
def test_an_odd_batch_is_halved_to_the_nearest_parts(
    batch_size: int, steps: int, halved: int | None, parts: str
) -> None:
    config = {"training": {"batch_size": batch_size, "accumulation_steps": steps}}
    result = halve_batches(config)
    assert (None if result is None else result["training"]["accumulation_steps"]) == halved
    assert describe_parts(batch_size, halved or steps) == parts


def test_halving_batches_changes_accumulation_steps_that_a_scheduler_changes_at_the_top() -> None:
    config: dict[str, Any] = {"training": {"batch_size": 9}, "training.accumulation_steps": 2}
    assert halve_batches(config) == {**config, "training.accumulation_steps": 4}


def test_halving_batches_reads_a_batch_size_that_a_scheduler_changes_at_the_top() -> None:
    config: dict[str, Any] = {"training": {"epochs": 3}, "training.batch_size": 6}
    halved = {"training": {"epochs": 3, "accumulation_steps": 2}, "training.batch_size": 6}
    assert halve_batches(config) == halved
    assert halve_batches({**config, "training.batch_size": 3}) is None
    assert "accumulation_steps" not in config["training"]
