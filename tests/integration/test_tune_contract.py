"""Assumptions about Tune's private interface, one per test.

A new minor release of Ray is allowed once this file passes with it. Tune's public interface is
not tested here.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.air.execution._internal import RayActorManager
from ray.train._internal.session import _FutureTrainingResult
from ray.train._internal.storage import StorageContext
from ray.tune import CheckpointConfig, with_resources
from ray.tune.execution.placement_groups import resource_dict_to_pg_factory
from ray.tune.execution.tune_controller import TrialRunnerWrapper
from ray.tune.experiment import Trial
from ray.tune.registry import register_trainable
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    HyperBandForBOHB,
    HyperBandScheduler,
    PopulationBasedTraining,
)

from sweeps.trials.killed_workers import report_killed_workers
from sweeps.trials.trial import SweepTrial
from tests.integration.journal import Journal, checkpoint, make, run_with_journal
from tests.support.toy_trainable import Toy

pytestmark = pytest.mark.ray

METRIC: dict[str, Any] = {"metric": "epoch", "mode": "max"}


@pytest.fixture
def experiment(tmp_path: Path) -> Any:
    register_trainable("toy", Toy)
    storage = StorageContext(str(tmp_path), "sweep")
    return SimpleNamespace(spec={"run": "toy", "storage": storage})


def test_each_trial_has_its_own_storage_named_after_its_directory(
    experiment: Any, tmp_path: Path
) -> None:
    first, second = make(experiment, "a"), make(experiment, "b")
    assert [Path(t.storage.trial_fs_path) for t in (first, second)] == [
        tmp_path / "sweep" / "directory_a",
        tmp_path / "sweep" / "directory_b",
    ]
    assert first.path == str(tmp_path / "sweep" / "directory_a")


def test_a_trial_keeps_its_id_and_settings(experiment: Any) -> None:
    trial = make(experiment, "mine")
    assert (trial.trial_id, str(trial), trial.status) == ("mine", "mine", Trial.PENDING)
    checkpoints: Any = trial.run_metadata.checkpoint_manager
    assert checkpoints.checkpoint_config == CheckpointConfig(num_to_keep=1, checkpoint_at_end=True)


def test_a_lost_worker_is_handled_by_a_method_that_can_be_wrapped() -> None:
    assert list(inspect.signature(RayActorManager._actor_task_failed).parameters) == [
        "self",
        "tracked_actor_task",
        "exception",
    ]
    controller: Any = SimpleNamespace(_actor_manager=RayActorManager.__new__(RayActorManager))
    wrapper = TrialRunnerWrapper(controller, trial_executor=None)
    report_killed_workers(wrapper)
    assert "_actor_task_failed" in vars(controller._actor_manager)


def test_checkpoints_are_numbered_directories(experiment: Any) -> None:
    storage: Any = make(experiment).storage
    assert storage._make_checkpoint_dir_name(12) == "checkpoint_000012"
    storage.current_checkpoint_index = 12
    assert Path(storage.checkpoint_fs_path) == Path(storage.trial_fs_path, "checkpoint_000012")


def test_a_registered_checkpoint_is_the_trials_newest(experiment: Any) -> None:
    trial = make(experiment)
    saved = checkpoint(trial, 0, epoch=2)
    trial.run_metadata.checkpoint_manager.register_checkpoint(saved)
    assert trial.checkpoint is not None
    assert trial.checkpoint.path == saved.checkpoint.path
    assert trial.latest_checkpoint_result is not None
    assert trial.latest_checkpoint_result.metrics["epoch"] == 2


def test_only_num_to_keep_checkpoints_stay(experiment: Any) -> None:
    trial = make(experiment)
    for index in range(3):
        saved = checkpoint(trial, index, epoch=index)
        trial.run_metadata.checkpoint_manager.register_checkpoint(saved)
    left = [path.name for path in Path(trial.storage.trial_fs_path).iterdir()]
    assert left == ["checkpoint_000002"]


def test_a_last_result_can_be_set(experiment: Any) -> None:
    trial = make(experiment)
    trial.run_metadata.last_result = {"epoch": 3, "training_iteration": 3}
    assert trial.last_result["epoch"] == 3


def test_resources_can_be_changed_between_two_starts(experiment: Any) -> None:
    trial = make(experiment)
    trial.change_resources({"cpu": 2.0, "gpu": 0.0})
    assert trial.placement_group_factory == resource_dict_to_pg_factory({"cpu": 2.0, "gpu": 0.0})
    assert trial.placement_group_factory.required_resources == {"CPU": 2.0}
    trial.update_resources({"cpu": 1.0})
    assert trial._default_placement_group_factory.required_resources == {"CPU": 2.0}


def test_a_trials_reservation_stays_when_tune_sets_its_resources(experiment: Any) -> None:
    register_trainable("toy", with_resources(Toy, {"cpu": 1.0, "gpu": 0.5}))
    trial = make(experiment)
    trial.reserve({"cpu": 1.0, "gpu": 1.0})
    trial.create_placement_group_factory()  # called first by Tune for a new trial
    assert trial.placement_group_factory.required_resources == {"CPU": 1.0, "GPU": 1.0}


def test_tune_snapshots_the_attributes_of_a_trial(experiment: Any) -> None:
    trial = make(experiment)
    assert "on_failure" in trial.__dict__
    state = trial.__getstate__()
    assert {"on_failure", "_decision"} & state.keys() == set()
    assert state["trial_id"] == "a"


def test_a_waiting_trial_is_not_saving(experiment: Any) -> None:
    trial = make(experiment)
    assert trial.is_saving is False
    assert trial.is_finished() is False
    trial.set_status(Trial.TERMINATED)
    assert trial.is_finished() is True


def test_schedulers_have_the_base_classes_that_distinguish_them() -> None:
    assert type(FIFOScheduler()) is FIFOScheduler
    assert issubclass(HyperBandForBOHB, HyperBandScheduler)
    assert not issubclass(PopulationBasedTraining, HyperBandScheduler)


def test_asha_keeps_the_bracket_of_a_trial_by_its_id(experiment: Any) -> None:
    asha = ASHAScheduler(**METRIC, time_attr="epoch", max_t=9, brackets=3)
    trial = make(experiment)
    asha.on_trial_add(SimpleNamespace(), trial)
    assert len(asha._brackets) == 3
    assert asha._trial_info[trial.trial_id] in asha._brackets


def test_hyperband_keeps_the_trials_to_unpause_in_their_bracket(experiment: Any) -> None:
    hyperband = HyperBandForBOHB(**METRIC, time_attr="epoch", max_t=4, reduction_factor=2)
    trial = make(experiment)
    hyperband.on_trial_add(SimpleNamespace(), trial)
    bracket, _ = hyperband._trial_info[trial]
    assert bracket in hyperband._hyperbands[0]
    assert (bracket.is_being_processed, bracket.finished()) == (False, False)
    assert bracket.current_trials() == [trial]
    assert trial not in bracket.trials_to_unpause
    assert list(inspect.signature(hyperband._process_bracket).parameters)[1] == "bracket"


@pytest.fixture
def population(experiment: Any) -> tuple[PopulationBasedTraining, SweepTrial]:
    pbt = PopulationBasedTraining(
        **METRIC,
        time_attr="epoch",
        perturbation_interval=2,
        hyperparam_mutations={"lr": [0.1, 0.2]},
    )
    trial = make(experiment, lr=0.1)
    pbt.on_trial_add(SimpleNamespace(search_alg=None), trial)
    return pbt, trial


def test_pbt_takes_a_score_without_looking_for_an_exploit(
    population: tuple[PopulationBasedTraining, SweepTrial],
) -> None:
    pbt, trial = population
    assert pbt._perturbation_interval == 2
    state = pbt._trial_state[trial]
    assert (state.last_score, state.last_checkpoint) == (None, None)
    assert (state.last_perturbation_time, state.last_train_time) == (0, 0)
    pbt._save_trial_state(state, 5, {"epoch": 5}, trial)
    assert (state.last_score, state.last_train_time) == (5, 5)
    assert state.last_perturbation_time == 0


def test_pbt_chooses_in_the_methods_that_are_overridden() -> None:
    """`Population` seeds the choices made in the first one and notes the exploit of the second."""
    methods = {
        "_checkpoint_or_exploit": [
            "self",
            "trial",
            "tune_controller",
            "upper_quantile",
            "lower_quantile",
        ],
        "_exploit": ["self", "tune_controller", "trial", "trial_to_clone"],
        "_get_new_config": ["self", "trial", "trial_to_clone"],
        "_save_trial_state": ["self", "state", "time", "result", "trial"],
    }
    for name, parameters in methods.items():
        method = getattr(PopulationBasedTraining, name)
        assert list(inspect.signature(method).parameters) == parameters
    chosen = inspect.getsource(PopulationBasedTraining._checkpoint_or_exploit)
    assert "random.choice(upper_quantile)" in chosen
    assert "self._exploit(" in chosen
    assert "self._get_new_config(" in inspect.getsource(PopulationBasedTraining._exploit)


def test_hyperband_builds_its_brackets_in_one_method() -> None:
    assert list(inspect.signature(HyperBandScheduler._create_bracket).parameters) == ["self", "s"]
    for kind in (HyperBandScheduler, HyperBandForBOHB):
        assert "self._create_bracket(s)" in inspect.getsource(kind.on_trial_add)


def test_a_pending_save_can_be_polled_without_waiting() -> None:
    assert "block" in inspect.signature(_FutureTrainingResult.resolve).parameters


@pytest.fixture(scope="module")
def journal(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Journal:
    return run_with_journal(tmp_path_factory.mktemp("journal"))


def test_the_search_algorithm_gets_the_experiment_first_and_once(journal: Journal) -> None:
    kinds = [kind for kind, *_ in journal.lines]
    assert kinds[0] == "add_configurations"
    assert kinds.count("add_configurations") == 1


def test_the_environment_limits_the_number_of_pending_trials(journal: Journal) -> None:
    kinds = [kind for kind, *_ in journal.lines]
    assert kinds[: kinds.index("start")].count("add") == 4


def test_an_ended_trial_is_added_to_the_scheduler_and_not_run(journal: Journal) -> None:
    assert journal.of("ended") == ["add TERMINATED"]
    metrics = {result.metrics["trial_id"]: result.metrics for result in journal.grid}
    assert metrics["ended"]["epoch"] == 3


def test_the_grid_has_every_trial(journal: Journal) -> None:
    assert len(journal.grid) == 4
    assert journal.grid.errors == []


def test_a_paused_trial_continues_from_its_registered_checkpoint(
    journal: Journal,
) -> None:
    assert journal.of("paused")[0] == "add PAUSED"
    assert journal.of("paused", "callback_result") == [
        "callback_result 2 checkpoint_000000",
        "callback_result 3 checkpoint_000000",
    ]


def test_checkpoint_numbers_continue_after_the_registered_one(journal: Journal) -> None:
    names = {
        r.metrics["trial_id"]: Path(r.checkpoint.path).name for r in journal.grid if r.checkpoint
    }
    assert names["paused"] == "checkpoint_000001"


def test_the_scheduler_gets_a_result_before_callbacks(journal: Journal) -> None:
    kinds = ("scheduler_result", "callback_result", "scheduler_complete")
    calls = [line.split()[:2] for line in journal.of("paused", *kinds)]
    assert calls == [
        ["scheduler_result", "2"],
        ["callback_result", "2"],
        # The last result is `done`: the scheduler gets it when the trial has ended.
        ["callback_result", "3"],
        ["scheduler_complete", "3"],
    ]


def test_the_scheduler_is_notified_of_an_end_before_the_search_algorithm_and_callbacks(
    journal: Journal,
) -> None:
    kinds = ("scheduler_complete", "source_complete", "callback_complete")
    assert journal.of("paused", *kinds) == [
        "scheduler_complete 3 3",
        "source_complete result",
        "callback_complete RUNNING",
    ]


def test_a_pending_trial_that_is_stopped_is_removed_and_ends_without_a_result(
    journal: Journal,
) -> None:
    assert journal.of("stopped") == [
        "add PENDING",
        "scheduler_remove",
        "source_complete no result",
        "callback_complete PENDING",
    ]


def test_a_retry_is_decided_before_tune_checks_whether_the_trial_recovers(
    journal: Journal,
) -> None:
    calls = journal.of("fails")
    assert calls[:4] == [
        "add PENDING",
        "start",
        "scheduler_result 1",
        "callback_result 1 None",
    ]
    assert calls[4] == "failed"
    assert "scheduler_error recovers True" in calls[5:]


def test_a_trial_that_recovers_is_added_and_started_again(journal: Journal) -> None:
    calls = journal.of("fails")
    after = calls[calls.index("failed") + 1 :]
    assert "add PENDING" in after
    assert after.index("add PENDING") < after.index("start")
    assert after[-1] == "callback_complete RUNNING"
    assert not any(line.startswith("source_complete error") for line in calls)
