"""Tune's trial with our rules: tried again by cause, rebuilt from what its directory holds.

Everything here that Tune does not call public is checked by `tests/integration/
test_tune_contract.py`, which a new release of Ray must pass first.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.train._internal.session import _TrainingResult
from ray.tune import Checkpoint, CheckpointConfig
from ray.tune.execution.placement_groups import resource_dict_to_pg_factory
from ray.tune.experiment import Trial

from sweeps.storage.location import begin_from
from sweeps.sweep_dir.layout import TrialRecord
from sweeps.trials.failures import Verdict
from trainable.trial_settings import CHECKPOINT_FILE, SETTINGS

OnFailure = Callable[["SweepTrial", Exception], Verdict]


class SweepTrial(Trial):
    """A trial that asks the sweep's failure policy whether to go on.

    Tune asks twice, in this order: `handle_error` when it learns of a failure, `should_recover`
    when it decides. In between the trial's config and resources may change.
    """

    on_failure: OnFailure | None = None
    final = False
    """Whether no scheduler judges it."""
    is_alone = False
    """Whether it has booked a whole card where others have booked a part."""
    _verdict: Verdict | None = None

    def handle_error(self, exc: Any = None) -> None:
        """Records a failure and takes on what the retry is to run with."""
        super().handle_error(exc)
        assert self.on_failure is not None, "the trial source gives every trial its policy"
        self._verdict = self.on_failure(self, exc)

    def should_recover(self) -> bool:
        """Whether the last failure is followed by a retry."""
        return self._verdict is not None and self._verdict.retry

    def book(self, share: Mapping[str, float]) -> None:
        """Asks for other resources than the sweep's, from the next start on."""
        self.placement_group_factory = resource_dict_to_pg_factory(dict(share))
        self._default_placement_group_factory = self.placement_group_factory
        self._setup_default_resource = False  # Tune would take the sweep's again
        self.is_alone = share.get("gpu") == 1

    def take(self, share: dict[str, float]) -> None:
        """Asks for other resources from the next start on, and is told so."""
        self.book(share)
        self.config = {**self.config, SETTINGS: {**self.config[SETTINGS], **share}}
        self.invalidate_json_state()

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the policy out of Tune's own snapshots."""
        ours = {"on_failure", "_verdict"}
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        return {k: v for k, v in state.items() if k not in ours}


def new_trial(
    experiment: Any,
    record: TrialRecord,
    config: dict[str, Any],
    *,
    on_failure: OnFailure,
    kept: int,
) -> SweepTrial:
    """Makes Tune's trial of a record.

    Args:
        experiment: Tune's, with the trainable's name, storage and checkpoint rules.
        record: Gives the id and the directory's name.
        config: The training config plus `SETTINGS`.
        on_failure: Called with every failure; decides on a retry.
        kept: How many of Tune's own checkpoint directories the trial keeps, the newest; 0 where
            there are no checkpoints. Set here and not in Tune's run config, where it would make
            Tune write a snapshot of the whole sweep every so many saves.
    """
    spec = experiment.spec
    trial = SweepTrial(
        spec["run"],
        trial_id=record.id,
        config=config,
        evaluated_params=record.values,
        experiment_tag=record.id,
        storage=spec["storage"],
        checkpoint_config=CheckpointConfig(num_to_keep=kept or None, checkpoint_at_end=kept > 0),
        trial_name_creator=_trial_id,
    )
    trial.on_failure = on_failure
    trial.final = record.final
    untyped: Any = trial
    untyped.relative_logdir = record.directory
    untyped.storage.trial_dir_name = record.directory
    return trial


def is_final(trial: Trial) -> bool:
    """Whether a trial repeats a winner and runs all its epochs, whatever the scheduler thinks."""
    return isinstance(trial, SweepTrial) and trial.final


def continue_from(trial: SweepTrial, checkpoint: Path, row: dict[str, Any]) -> None:
    """Makes Tune restore a rebuilt trial from a checkpoint of its layout.

    Args:
        trial: As made by `new_trial`.
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
    begin_from(checkpoint, directory / name / CHECKPOINT_FILE)
    epoch = row["epoch"]
    metrics = {**row, "training_iteration": epoch, "config": trial.config}
    found = _TrainingResult(Checkpoint.from_directory(str(directory / name)), metrics)
    checkpoints.register_checkpoint(found)
    storage.current_checkpoint_index = 0
    show_result(trial, row)


def show_result(trial: SweepTrial, row: dict[str, Any]) -> None:
    """Makes a row the trial's last result, as `ResultGrid` and schedulers read it."""
    trial.run_metadata.last_result = {
        **row,
        "training_iteration": row["epoch"],
        "trial_id": trial.trial_id,
        "config": trial.config,
    }


def _trial_id(trial: Trial) -> str:
    return str(trial.trial_id)
