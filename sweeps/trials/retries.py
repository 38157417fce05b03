"""Records a trial's failure and prepares its retry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ray
from ray.tune.error import TuneError
from ray.tune.experiment import Trial

from sweeps.cluster.gpu_workers import GpuWorkerPool
from sweeps.spec.settings import FailurePolicy
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import TrialRecord
from sweeps.terminal.console import print_line
from sweeps.terminal.formatting import format_duration, shorten_message
from sweeps.trials.failing_alike import failure_key
from sweeps.trials.failures import (
    ACCUMULATION_STEPS,
    RetryDecision,
    count_worker_losses,
    decide_retry,
    describe,
    describe_parts,
    find_cause,
    halve_batches,
    read_batches,
)
from sweeps.trials.oom_memory import OomMemory
from sweeps.trials.pause import PauseSwitch
from sweeps.trials.trial import SweepTrial
from trainable.trial_settings import SETTINGS, SUSPECT


class RetryPolicy:
    """Callback for failed trials: records the failure and prepares the retry.

    Args:
        layout: The sweep directory that trials are recorded in.
        records: Trial id -> record, shared with the trial source.
        policy: The search file's `failure`, which may change while the sweep runs.
        share: CPUs and GPUs of one trial.
        switch: Switch that pauses the sweep when the disk is full.
        pool: The workers that trials share, if they do; no trial can run alone in one.
        memory: Remembers what ran out of memory.
    """

    def __init__(
        self,
        layout: SweepLayout,
        records: dict[str, TrialRecord],
        policy: FailurePolicy,
        share: dict[str, float],
        switch: PauseSwitch,
        pool: GpuWorkerPool | None = None,
        memory: OomMemory | None = None,
    ) -> None:
        self._layout = layout
        self._records = records
        self.policy = policy
        self._share = share
        self._switch = switch
        self._pool = pool
        self._memory = memory

    def __call__(self, trial: SweepTrial, error: Exception) -> RetryDecision:
        """Records the failure; changes the trial's config and resources for its retry."""
        record = self._records[trial.trial_id]
        if isinstance(error, TuneError):
            return self._pause_on_own_fault(record, error)
        epoch = (trial.last_result or {}).get("epoch", 0)
        failure = describe(error, find_cause(error), epoch, _checkpoint_path(trial))
        if trial.timeout_s is not None:
            text = f"no epoch for {format_duration(trial.timeout_s)} (failure.epoch_timeout)"
            failure, trial.timeout_s = replace(failure, cause="timeout", message=text), None
        if self._memory is not None:
            with self._switch.on_full_disk():
                self._memory.note_failure(record.id, trial.config, failure)
        record.failures.append(failure)
        decision = decide_retry(record, self.policy)
        if failure.cause == "disk_full":
            self._switch.request("disk_full")
        if self._pool is not None:
            self._pool.release(trial.trial_id)
            decision = replace(decision, alone=False, halve=decision.alone)
            _set_suspect(trial, failure.cause == "lost_worker" and count_worker_losses(record) > 1)
        if decision.retry and decision.halve:
            decision = replace(decision, retry=self._halve_batches(trial, record))
        if decision.retry and decision.alone:
            trial.change_resources(_whole_share(self._share))
        trial.failure_key = failure_key(record)
        with self._switch.on_full_disk():
            self._layout.write_trial(record)
        if decision.retry:
            how = " alone" * decision.alone
            if decision.halve:
                parts = describe_parts(*read_batches(trial.config))
                how += f" with halved batches ({parts})"
            reason = f"{failure.cause}: {shorten_message(failure.message)}"
            print_line(f"trial {record.id} {reason}; retrying{how}")
        return decision

    def _pause_on_own_fault(self, record: TrialRecord, error: TuneError) -> RetryDecision:
        """Pauses the sweep on an exception of the driver, with which Tune ends a trial.

        Recording an epoch or reading a score has failed. That is not the trial's failure: it is
        resumed with the sweep.
        """
        cause, text = find_cause(error), str(error).strip().splitlines()[-1]
        print_line(f"the sweep pauses: trial {record.id} could not be recorded: {text}")
        self._switch.request("disk_full" if cause == "disk_full" else "fault")
        if self._pool is not None:
            self._pool.release(record.id)
        return RetryDecision(retry=True)

    def _halve_batches(self, trial: SweepTrial, record: TrialRecord) -> bool:
        """Halves the parts of a trial's batches; returns whether that was possible."""
        settings = trial.config[SETTINGS]
        config = {k: v for k, v in trial.config.items() if k != SETTINGS}
        halved = halve_batches(config)
        if halved is None:
            parts = describe_parts(*read_batches(config))
            reason = f"its batches of {parts} cannot be halved: a part has at least 2 images"
            last = record.failures[-1]
            record.failures[-1] = replace(last, message=f"{last.message} ({reason})")
            return False
        trial.config = {**halved, SETTINGS: settings}
        if self._memory is not None:
            trial.config = self._memory.shrink(trial.config)
        record.changes[ACCUMULATION_STEPS] = read_batches(trial.config)[1]
        return True


def _set_suspect(trial: SweepTrial, suspect: bool) -> None:
    """Marks a trial that may be crashing the worker it shares with other trials.

    All trials of a worker fail when it crashes. Suspects start one after the other, so that the
    trial that causes the crashes does not use up the retries of the others.
    """
    trial.config = {**trial.config, SETTINGS: {**trial.config[SETTINGS], SUSPECT: suspect}}


def _checkpoint_path(trial: Trial) -> str | None:
    """Returns the checkpoint that a retry continues from, relative to the sweep directory."""
    if trial.checkpoint is None:
        return None
    path = Path(trial.checkpoint.path)
    return str(Path(path.parent.name, path.name))


def _whole_share(share: dict[str, float]) -> dict[str, float]:
    """Returns a whole GPU; without GPUs, all the CPUs of the largest machine."""
    if share["gpu"]:
        return {**share, "gpu": max(1.0, share["gpu"])}
    cpus = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
    return {**share, "cpu": max([share["cpu"], *cpus])}
