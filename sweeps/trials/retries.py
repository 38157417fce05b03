"""Carries out what the failure policy says when a trial fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ray
from ray.tune.experiment import Trial

from sweeps.cluster.gpu_workers import Packing
from sweeps.spec.settings import FailurePolicy
from sweeps.sweep_dir.layout import SweepLayout, TrialRecord
from sweeps.terminal.console import say
from sweeps.trials.failures import Verdict, cause_of, describe, halved, judge, losses
from sweeps.trials.pause import PauseSwitch
from sweeps.trials.trial import SweepTrial
from trainable.trial_settings import SETTINGS, SUSPECT


class Retries:
    """Called by a trial with its failure; records it and prepares the retry.

    Args:
        layout: Where trials are recorded.
        records: Trial id -> record, shared with the trial source.
        policy: The search file's `failure`.
        share: What one trial takes of the cluster.
        switch: Asked for a pause when the disk is full.
        packing: The processes that trials share, if they do: nothing is alone there.
    """

    def __init__(
        self,
        layout: SweepLayout,
        records: dict[str, TrialRecord],
        policy: FailurePolicy,
        share: dict[str, float],
        switch: PauseSwitch,
        packing: Packing | None = None,
    ) -> None:
        self._layout = layout
        self._records = records
        self._policy = policy
        self._share = share
        self._switch = switch
        self._packing = packing

    def __call__(self, trial: SweepTrial, error: Exception) -> Verdict:
        """Records the failure; changes the trial's config and resources for its retry."""
        record = self._records[trial.trial_id]
        epoch = (trial.last_result or {}).get("epoch", 0)
        failure = describe(error, cause_of(error), epoch, _checkpoint(trial))
        record.failures.append(failure)
        verdict = judge(record, self._policy)
        if failure.cause == "disk_full":
            self._switch.request("disk_full")
        if self._packing is not None:
            self._packing.forget(trial.trial_id)
            verdict = replace(verdict, alone=False, halve=verdict.alone)
            _suspect(trial, failure.cause == "lost_worker" and losses(record) > 1)
        if verdict.retry and verdict.halve:
            verdict = replace(verdict, retry=self._halve(trial, record))
        if verdict.retry and verdict.alone:
            trial.take(_alone(self._share))
        self._layout.write_trial(record)
        if verdict.retry:
            how = " alone" * verdict.alone + " with its batch in halves" * verdict.halve
            say(f"trial {record.id} {failure.cause}: {failure.message}; tried again{how}")
        return verdict

    def _halve(self, trial: SweepTrial, record: TrialRecord) -> bool:
        """Makes a trial run its batches in twice as many parts; whether they can be cut so."""
        settings = trial.config[SETTINGS]
        config = halved({k: v for k, v in trial.config.items() if k != SETTINGS})
        if config is None:
            return False
        trial.config = {**config, SETTINGS: settings}
        record.changes["training.accumulation_steps"] = config["training"]["accumulation_steps"]
        return True


def _suspect(trial: SweepTrial, suspect: bool) -> None:
    """Tells a trial whether it may be the one that takes its process with it, again and again.

    Every trial of a process is lost with it. Those that come into question begin one after the
    other, so that the one it is does not use up the others' retries.
    """
    trial.config = {**trial.config, SETTINGS: {**trial.config[SETTINGS], SUSPECT: suspect}}


def _checkpoint(trial: Trial) -> str | None:
    """The checkpoint that a retry continues from, by its path from the sweep's directory."""
    if trial.checkpoint is None:
        return None
    path = Path(trial.checkpoint.path)
    return str(Path(path.parent.name, path.name))


def _alone(share: dict[str, float]) -> dict[str, float]:
    """A whole card; without GPUs all the CPUs of the largest machine."""
    if share["gpu"]:
        return {**share, "gpu": max(1.0, share["gpu"])}
    cpus = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
    return {**share, "cpu": max([share["cpu"], *cpus])}
