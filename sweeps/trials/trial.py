"""Tune's trial, with retries by cause of failure and with a restore from its own directory.

`tests/integration/test_tune_contract.py` checks every private name of Ray that is used here. Run
it first with a new release of Ray.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.train._internal.session import _TrainingResult
from ray.tune import Checkpoint, CheckpointConfig, ResultGrid
from ray.tune.execution.placement_groups import resource_dict_to_pg_factory
from ray.tune.experiment import Trial

from sweeps.storage.location import seed_checkpoint
from sweeps.sweep_dir.records import TrialRecord
from sweeps.trials.failures import RetryDecision
from trainable.artifacts.names import CHECKPOINT_FILE
from trainable.trial_settings import SETTINGS

OnFailure = Callable[["SweepTrial", Exception], RetryDecision]


class SweepTrial(Trial):
    """A trial that follows the sweep's failure policy.

    After a failure Tune calls `handle_error` and then `should_recover`. The failure policy runs in
    the first call and may change the trial's config and resources for the retry.
    """

    on_failure: OnFailure | None = None
    final = False
    """Whether the scheduler lets it run all its epochs."""
    has_whole_gpu = False
    """Whether it reserves a whole GPU; other trials of the sweep may reserve a part."""
    failure_key: str | None = None
    """The part of its last failure that is common to trials which fail alike."""
    timeout_s: float | None = None
    """Why its worker has been killed: it completed no epoch in so many seconds."""
    _decision: RetryDecision | None = None

    def handle_error(self, exc: Any = None) -> None:
        """Records a failure and prepares the retry."""
        with suppress(OSError):  # a full disk: Tune writes the error into files that are not read
            super().handle_error(exc)
        assert self.on_failure is not None, "the trial source gives every trial its policy"
        self._decision = self.on_failure(self, exc)

    def should_recover(self) -> bool:
        """Returns whether the last failure is retried."""
        return self._decision is not None and self._decision.retry

    def reserve(self, share: Mapping[str, float]) -> None:
        """Reserves other resources than the rest of the sweep, from the next start on."""
        self.placement_group_factory = resource_dict_to_pg_factory(dict(share))
        self._default_placement_group_factory = self.placement_group_factory
        self._setup_default_resource = False  # or Tune would return to the sweep's resources
        self.has_whole_gpu = share.get("gpu") == 1

    def change_resources(self, share: dict[str, float]) -> None:
        """Reserves other resources and passes them to the trial's process as its limits."""
        self.reserve(share)
        self.config = {**self.config, SETTINGS: {**self.config[SETTINGS], **share}}
        self.invalidate_json_state()

    def __getstate__(self) -> dict[str, Any]:
        """Returns the state for Tune's snapshots, without the failure policy."""
        excluded = {"on_failure", "_decision"}
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        return {k: v for k, v in state.items() if k not in excluded}


def new_trial(
    experiment: Any,
    record: TrialRecord,
    config: dict[str, Any],
    *,
    on_failure: OnFailure,
    num_to_keep: int,
) -> SweepTrial:
    """Creates Tune's trial for a record.

    Args:
        experiment: Tune's experiment, with the trainable's name, storage and checkpoint rules.
        record: The trial's record, with its id and the name of its directory.
        config: The training config plus `SETTINGS`.
        on_failure: Callback that decides on a retry after every failure.
        num_to_keep: Number of Tune's own checkpoint directories that are kept, newest first; 0 if
            there are no checkpoints. It is not set in Tune's run config, because Tune would then
            write a snapshot of the whole sweep after every `num_to_keep` saves of a trial.
    """
    spec = experiment.spec
    trial = SweepTrial(
        spec["run"],
        trial_id=record.id,
        config=config,
        evaluated_params=record.values,
        experiment_tag=record.id,
        storage=spec["storage"],
        checkpoint_config=CheckpointConfig(
            num_to_keep=num_to_keep or None, checkpoint_at_end=num_to_keep > 0
        ),
        trial_name_creator=_name_trial,
    )
    trial.on_failure = on_failure
    trial.final = record.final
    untyped: Any = trial
    untyped.relative_logdir = record.directory
    untyped.storage.trial_dir_name = record.directory
    return trial


def is_final(trial: Trial) -> bool:
    """Returns whether a trial repeats a winner and therefore always runs all its epochs."""
    return isinstance(trial, SweepTrial) and trial.final


def failure_key_of(trial: Trial) -> str | None:
    """Returns what a trial's last failure has in common with those of other trials."""
    return trial.failure_key if isinstance(trial, SweepTrial) else None


def restore_from(trial: SweepTrial, checkpoint: Path, row: dict[str, Any]) -> None:
    """Lets Tune restore a new trial from a checkpoint of its directory when it starts.

    Args:
        trial: A trial that `new_trial` created.
        checkpoint: A `.pt` file in the trial's directory.
        row: The metrics of the checkpoint's epoch.
    """
    storage: Any = trial.storage
    checkpoints: Any = trial.run_metadata.checkpoint_manager
    directory = Path(storage.trial_fs_path)
    for old in directory.glob("checkpoint_*"):
        shutil.rmtree(old)
    name = storage._make_checkpoint_dir_name(0)
    (directory / name).mkdir()
    seed_checkpoint(checkpoint, directory / name / CHECKPOINT_FILE)
    epoch = row["epoch"]
    metrics = {**row, "training_iteration": epoch, "config": trial.config}
    training_result = _TrainingResult(Checkpoint.from_directory(str(directory / name)), metrics)
    checkpoints.register_checkpoint(training_result)
    storage.current_checkpoint_index = 0
    set_last_result(trial, row)


def set_last_result(trial: SweepTrial, row: dict[str, Any]) -> None:
    """Sets the trial's last result, which `ResultGrid` and schedulers read."""
    trial.run_metadata.last_result = {
        **row,
        "training_iteration": row["epoch"],
        "trial_id": trial.trial_id,
        "config": trial.config,
    }


def without_retried(grid: ResultGrid) -> ResultGrid:
    """Returns results with one entry per trial.

    A trial that was retried while the sweep ran is an object of its own for Tune.
    """
    analysis: Any = grid._experiment_analysis
    latest = {trial.trial_id: trial for trial in analysis.trials}
    if len(latest) == len(analysis.trials):
        return grid
    analysis.trials = list(latest.values())
    return ResultGrid(analysis)


def _name_trial(trial: Trial) -> str:
    return str(trial.trial_id)
