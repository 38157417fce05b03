"""Recording of failures and preparation of retries, with a fake of Tune's trial."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import RayTaskError
from ray.tune.error import TuneError

from sweeps.cluster.gpu_workers import GpuWorkerPool
from sweeps.spec.settings import FailurePolicy
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import TrialRecord
from sweeps.trials.failures import RetryDecision
from sweeps.trials.pause import PauseSwitch
from sweeps.trials.retries import RetryPolicy

ON_CPU, ON_GPU = {"cpu": 1.0, "gpu": 0.0}, {"cpu": 1.0, "gpu": 0.25}


class FakeTrial:
    """The parts of a `SweepTrial` that a retry changes."""

    trial_id = "a1"
    timeout_s: float | None = None
    failure_key: str | None = None

    def __init__(self, epoch: int, checkpoint: Path | None) -> None:
        self.last_result = {"epoch": epoch} if epoch else {}
        self.checkpoint = checkpoint and SimpleNamespace(path=str(checkpoint))
        self.config: dict[str, Any] = {"training": {"batch_size": 6}, "_trial": dict(ON_GPU)}
        self.share: dict[str, float] | None = None

    def change_resources(self, share: dict[str, float]) -> None:
        self.share = share


class FailingTrial:
    """A trial of a sweep directory that fails repeatedly."""

    def __init__(self, directory: Path, share: dict[str, float], **policy: Any) -> None:
        self.layout = SweepLayout(directory)
        self.record = TrialRecord("a1", 0, "trial", {}, state="running")
        self.layout.write_trial(self.record)
        self.switch = PauseSwitch(self.layout.stop_file, None)
        records, settings = {"a1": self.record}, FailurePolicy(**policy)
        self.retries = RetryPolicy(self.layout, records, settings, share, self.switch)
        self.trial = FakeTrial(3, directory / "trial" / "checkpoint_000002")

    def fail(self, text: str) -> RetryDecision:
        error = RayTaskError("train", f"{TRACEBACK}{text}", RuntimeError(text))
        decision = self.retries(self.trial, error)  # type: ignore[arg-type]
        (on_disk,) = self.layout.read_trials()
        assert on_disk == self.record
        return decision


TRACEBACK = """\
Traceback (most recent call last):
  File "/venv/lib/python3.11/site-packages/torch/nn/modules/module.py", line 1, in forward
    return self.net(images)
"""
OOM = "torch.OutOfMemoryError: CUDA out of memory"


@pytest.fixture(autouse=True)
def _two_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0}},
        {"Alive": True, "Resources": {"CPU": 4.0}},
        {"Alive": False, "Resources": {"CPU": 64.0}},
    ]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)


def test_a_worker_that_was_ended_for_its_silence_is_a_timeout(tmp_path: Path) -> None:
    failing = FailingTrial(tmp_path, ON_CPU, max_retries=1)
    for retried in (True, False):
        failing.trial.timeout_s = 1800.0
        assert failing.fail("the actor is dead").retry == retried
        failure = failing.record.failures[-1]
        assert (failure.cause, failure.epoch) == ("timeout", 3)
        assert failure.message == "no epoch for 30 min (failure.epoch_timeout)"
        assert failing.trial.timeout_s is None


def test_a_failure_is_written_before_the_retry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = FailingTrial(tmp_path, ON_CPU)
    assert failing.fail("RuntimeError: a bad day") == RetryDecision(retry=True)
    (failure,) = json.loads((tmp_path / "trial" / "trial.json").read_text())["failures"]
    assert failure["cause"] == "error"
    assert failure["message"] == "RuntimeError: a bad day"
    assert failure["epoch"] == 3
    assert failure["checkpoint"] == "trial/checkpoint_000002"
    assert "in forward" in failure["traceback"]
    assert capsys.readouterr().out == "trial a1 error: RuntimeError: a bad day; retrying\n"
    assert failing.trial.share is None


def test_a_failure_before_the_first_epoch_has_neither_epoch_nor_checkpoint(tmp_path: Path) -> None:
    failing = FailingTrial(tmp_path, ON_CPU)
    failing.trial = FakeTrial(0, None)
    failing.fail("RuntimeError: a bad day")
    (failure,) = failing.record.failures
    assert (failure.epoch, failure.checkpoint) == (0, None)


def test_a_trial_that_is_given_up_is_not_announced_as_a_retry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = FailingTrial(tmp_path, ON_CPU, max_retries=0)
    assert failing.fail("RuntimeError: a bad day") == RetryDecision(retry=False)
    assert len(failing.record.failures) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("share", "alone"),
    [
        (ON_GPU, {"cpu": 1.0, "gpu": 1.0}),
        ({"cpu": 2.0, "gpu": 2.0}, {"cpu": 2.0, "gpu": 2.0}),
        (ON_CPU, {"cpu": 8.0, "gpu": 0.0}),
    ],
    ids=["a fraction of a GPU", "whole GPUs", "no GPU"],
)
def test_out_of_memory_gets_a_whole_gpu_or_a_whole_machine(
    share: dict[str, float], alone: dict[str, float], tmp_path: Path
) -> None:
    failing = FailingTrial(tmp_path, share)
    assert failing.fail(OOM) == RetryDecision(retry=True, alone=True)
    assert failing.trial.share == alone
    assert failing.record.changes == {}


def test_a_second_out_of_memory_halves_the_batches_and_prints_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = FailingTrial(tmp_path, ON_GPU)
    failing.fail(OOM)
    assert failing.fail(OOM) == RetryDecision(retry=True, alone=True, halve=True)
    assert failing.trial.config["training"] == {"batch_size": 6, "accumulation_steps": 2}
    assert failing.trial.config["_trial"] == ON_GPU
    assert failing.record.changes == {"training.accumulation_steps": 2}
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("retrying alone")
    assert lines[1].endswith("retrying alone with halved batches (6 in parts of 3)")
    assert not failing.fail(OOM).retry
    assert failing.record.changes == {"training.accumulation_steps": 2}


def test_an_odd_batch_is_halved_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failing = FailingTrial(tmp_path, ON_GPU)
    failing.trial.config["training"]["batch_size"] = 33
    failing.fail(OOM)
    assert failing.fail(OOM).retry
    assert failing.trial.config["training"] == {"batch_size": 33, "accumulation_steps": 2}
    (line,) = capsys.readouterr().out.splitlines()[1:]
    assert line.endswith("with halved batches (33 in parts of 17 and 16)")


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_batch_that_cannot_be_halved_ends_the_trial_and_the_failure_says_why(
    tmp_path: Path, batch_size: int
) -> None:
    failing = FailingTrial(tmp_path, ON_GPU)
    failing.trial.config["training"]["batch_size"] = batch_size
    failing.fail(OOM)
    failing.trial.share = None
    assert not failing.fail(OOM).retry
    assert (failing.record.changes, failing.trial.share) == ({}, None)
    assert failing.trial.config["training"] == {"batch_size": batch_size}
    assert failing.record.failures[-1].message.endswith(
        f"(its batches of {batch_size} cannot be halved: a part has at least 2 images)"
    )


LOST = "LostWorkerError: its worker has died"


def test_a_trial_that_loses_a_shared_worker_twice_at_an_epoch_is_suspect(tmp_path: Path) -> None:
    failing = FailingTrial(tmp_path, ON_GPU)
    failing.retries._pool = GpuWorkerPool(ON_GPU, [{"CPU": 8.0, "GPU": 1.0}], 4)
    suspect = []
    for text, epoch in [(LOST, 3), (LOST, 3), ("a bad day", 3), (LOST, 4), (LOST, 4), (LOST, 5)]:
        failing.trial.last_result = {"epoch": epoch}
        assert failing.fail(text).retry
        suspect.append(failing.trial.config["_trial"]["suspect"])
    assert suspect == [False, True, False, False, True, False]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("TypeError: float() argument must be a string", "fault"),
        ("OSError: [Errno 28] No space left on device: 'trial.json'", "disk_full"),
    ],
)
def test_a_fault_of_the_driver_pauses_the_sweep_and_is_not_the_trials(
    text: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tune ends a trial with such an error if a callback or the searcher raises."""
    failing = FailingTrial(tmp_path, ON_CPU, max_retries=0)
    error = TuneError(f"Traceback (most recent call last):\n  ...\n{text}\n")
    assert failing.retries(failing.trial, error).retry  # type: ignore[arg-type]
    assert failing.record.failures == []
    assert failing.switch.reason == reason
    assert capsys.readouterr().out == (
        f"the sweep pauses: trial a1 could not be recorded: {text}\n"
    )


def test_a_full_disk_pauses_the_sweep(tmp_path: Path) -> None:
    failing = FailingTrial(tmp_path, ON_CPU)
    assert failing.fail("OSError: [Errno 28] No space left on device").retry
    assert failing.switch.reason == "disk_full"


def test_other_failures_do_not_pause_the_sweep(tmp_path: Path) -> None:
    failing = FailingTrial(tmp_path, ON_CPU)
    failing.fail("RuntimeError: a bad day")
    failing.fail(OOM)
    assert failing.switch.reason is None
