"""Tune's trial with the sweep's failure policy, resources and restore, without starting Ray."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.train._internal.storage import StorageContext
from ray.tune.experiment import Trial
from ray.tune.registry import register_trainable

from sweeps.sweep_dir.records import TrialRecord
from sweeps.trials.failures import RetryDecision
from sweeps.trials.trial import (
    OnFailure,
    SweepTrial,
    is_final,
    new_trial,
    restore_from,
    set_last_result,
)
from tests.support.toy_trainable import Toy
from trainable.artifacts.names import CHECKPOINT_FILE
from trainable.trial_settings import SETTINGS

ROW = {"epoch": 3, "val_acc": 0.5}


@pytest.fixture
def experiment(tmp_path: Path) -> Any:
    register_trainable("toy", Toy)
    storage = StorageContext(str(tmp_path), "sweep")
    return SimpleNamespace(spec={"run": "toy", "storage": storage})


def make(experiment: Any, on_failure: OnFailure | None = None, **record: Any) -> SweepTrial:
    return new_trial(
        experiment,
        TrialRecord("a1", 0, "trial_a1", {"lr": 0.1}, **record),
        {SETTINGS: {"cpu": 1.0, "gpu": 0.5}},
        on_failure=on_failure or (lambda trial, error: RetryDecision(retry=True)),
        num_to_keep=1,
    )


def test_a_trial_has_the_id_values_and_directory_of_its_record(
    experiment: Any, tmp_path: Path
) -> None:
    trial = make(experiment)
    assert (trial.trial_id, trial.evaluated_params) == ("a1", {"lr": 0.1})
    assert trial.path == str(tmp_path / "sweep" / "trial_a1")


@pytest.mark.parametrize("retry", [True, False])
def test_a_failure_is_retried_as_the_policy_decides(
    experiment: Any, retry: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tune writes the error there; the real path needs a running Ray.
    monkeypatch.setattr(StorageContext, "trial_driver_staging_path", str(tmp_path))
    errors: list[Exception] = []

    def on_failure(trial: SweepTrial, error: Exception) -> RetryDecision:
        errors.append(error)
        return RetryDecision(retry=retry)

    trial = make(experiment, on_failure)
    assert not trial.should_recover()
    error = RuntimeError("a bad day")
    trial.handle_error(error)
    assert errors == [error]
    assert trial.should_recover() is retry


def test_changed_resources_are_reserved_and_passed_to_the_trial(experiment: Any) -> None:
    trial = make(experiment)
    trial.change_resources({"cpu": 2.0, "gpu": 1.0})
    assert trial.placement_group_factory.required_resources == {"CPU": 2.0, "GPU": 1.0}
    assert trial.config[SETTINGS] == {"cpu": 2.0, "gpu": 1.0}
    assert trial.has_whole_gpu


def test_reserved_resources_do_not_change_the_settings_of_the_trial(experiment: Any) -> None:
    trial = make(experiment)
    trial.reserve({"cpu": 1.0, "gpu": 1.0})
    assert trial.has_whole_gpu
    assert trial.config[SETTINGS] == {"cpu": 1.0, "gpu": 0.5}
    trial.reserve({"cpu": 1.0, "gpu": 0.5})
    assert not trial.has_whole_gpu


def test_only_a_trial_that_repeats_a_winner_is_final(experiment: Any) -> None:
    assert is_final(make(experiment, final=True))
    assert not is_final(make(experiment))
    assert not is_final(Trial("toy", stub=True))


def test_a_trial_restores_from_a_checkpoint_of_its_directory(
    experiment: Any, tmp_path: Path
) -> None:
    trial = make(experiment)
    directory = tmp_path / "sweep" / "trial_a1"
    (directory / "checkpoint_000007").mkdir(parents=True)
    weights = directory / "epoch_0003.pt"
    weights.write_bytes(b"weights")
    restore_from(trial, weights, ROW)
    assert [path.name for path in directory.glob("checkpoint_*")] == ["checkpoint_000000"]
    assert trial.checkpoint is not None
    assert Path(trial.checkpoint.path, CHECKPOINT_FILE).read_bytes() == b"weights"
    assert trial.last_result["training_iteration"] == 3


def test_the_last_result_is_a_row_with_tunes_own_keys(experiment: Any) -> None:
    trial = make(experiment)
    set_last_result(trial, ROW)
    assert trial.last_result == {
        **ROW,
        "training_iteration": 3,
        "trial_id": "a1",
        "config": trial.config,
    }
