"""Populations that are paused and resumed: no state is lost or gets another trial's values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ray.tune.schedulers import PopulationBasedTraining

import sweeps.execution.restore_trials
from sweeps.results.outcome import Outcome
from sweeps.schedulers.recording import RecordingScheduler
from sweeps.sweep_dir.records import ENDED, TrialRecord
from sweeps.trials.trial import SweepTrial
from tests.integration.chronicle import Chronicle, one_epoch_after, watched
from tests.integration.sweeping import (
    ONE_AT_A_TIME,
    epochs,
    events,
    pause_after,
    resume,
    search,
    start,
    trials,
)
from trainable.artifacts.checkpoint import read_checkpoint
from trainable.artifacts.metrics import read_rows
from trainable.config.dotted import get_dotted

pytestmark = [pytest.mark.ray, pytest.mark.slow]

LR, MOMENTUM = "optimizer.learning_rate", "optimizer.momentum"


@dataclass
class Paused:
    """A population that was paused, resumed and finished."""

    name: str
    directory: Path
    at_pause: dict[str, TrialRecord]
    latest: dict[str, dict[str, Any]]
    """Trial id -> its `latest.pt` at the pause, for trials that had one."""
    epochs: dict[int, list[int]]
    """Number of a trial -> epochs in its metrics at the pause."""
    before: Chronicle
    after: Chronicle
    continued: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Trial id -> the config with which it was restored."""
    memories: list[dict[str, Any]] = field(default_factory=list)
    """Trial id -> the scheduler's score, at the pause and after the resume."""
    outcome: Outcome | None = None


CUTS: dict[str, tuple[str, int, dict[str, int]]] = {
    "pbt_two_at_a_time": ("pbt", 9, {}),
    # After 16 results every trial has trained 4 epochs; one more result ends the first trial.
    "pb2_with_a_finished_trial": ("pb2", 17, ONE_AT_A_TIME),
}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("pbt_two_at_a_time", marks=pytest.mark.long),
        "pb2_with_a_finished_trial",
    ],
)
def paused(
    request: pytest.FixtureRequest,
    ray_session: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Paused:
    """Four trials of five epochs; every second epoch the worse half exploits the better."""
    name, cut, resources = CUTS[request.param]
    spec = search(
        tmp_path_factory.mktemp(name),
        space={LR: {"loguniform": [1e-4, 1.0]}, MOMENTUM: {"uniform": [0.5, 0.9]}},
        tune={
            "num_samples": 4,
            "scheduler": {"name": name, "perturbation_interval": 2, "quantile_fraction": 0.5},
        },
        config={"checkpoint": {"save_frequency": 1}, "training": {"epochs": 5}},
        resources=resources,
    )
    with pytest.MonkeyPatch.context() as patch:
        memories = watch_memory(patch)
        with watched(tmp_path_factory.mktemp("before")) as before:
            pause_after(patch, cut)
            directory = start(spec).directory
        population = Paused(request.param, directory, {}, {}, epochs(directory), before, before)
        for trial in trials(directory):
            population.at_pause[trial.id] = trial
            path = directory / trial.directory / "checkpoints" / "latest.pt"
            if path.exists():
                population.latest[trial.id] = read_checkpoint(path)
        watch_restored(patch, population.continued)
        with watched(tmp_path_factory.mktemp("after")) as population.after:
            population.outcome = resume(directory)
        population.memories = memories
    return population


def watch_memory(patch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Returns a list that gets the scores of the first process, and those after a replay."""
    memories: list[dict[str, Any]] = []
    schedulers: list[RecordingScheduler] = []
    init, replay = RecordingScheduler.__init__, RecordingScheduler.replay

    def on_init(self: RecordingScheduler, *args: Any, **kwargs: Any) -> None:
        if schedulers:
            memories.append(scores(schedulers[0]))
        schedulers.append(self)
        init(self, *args, **kwargs)

    def on_replay(self: RecordingScheduler, *args: Any, **kwargs: Any) -> list[str]:
        differences = replay(self, *args, **kwargs)
        if len(schedulers) == 2:
            memories.append(scores(self))
        return differences

    patch.setattr(RecordingScheduler, "__init__", on_init)
    patch.setattr(RecordingScheduler, "replay", on_replay)
    return memories


def scores(scheduler: RecordingScheduler) -> dict[str, Any]:
    pbt = scheduler.inner
    assert isinstance(pbt, PopulationBasedTraining)
    return {trial.trial_id: state.last_score for trial, state in pbt._trial_state.items()}


def watch_restored(patch: pytest.MonkeyPatch, configs: dict[str, dict[str, Any]]) -> None:
    restore_from = sweeps.execution.restore_trials.restore_from

    def on_restore(trial: SweepTrial, *args: Any) -> None:
        configs[trial.trial_id] = dict(trial.config)
        restore_from(trial, *args)

    patch.setattr(sweeps.execution.restore_trials, "restore_from", on_restore)


def list_unended(paused: Paused) -> list[TrialRecord]:
    records = [trial for trial in paused.at_pause.values() if trial.state not in ENDED]
    assert records, "a finished sweep shows nothing"
    return records


def is_waiting(paused: Paused, trial: TrialRecord) -> bool:
    """Returns whether the trial had an exploit with which it had not started to train."""
    exploit = paused.before.last(trial.id)
    return exploit is not None and not exploit.started


def test_a_pause_saves_every_trial_except_recipients_that_have_not_started(paused: Paused) -> None:
    for trial in list_unended(paused):
        done = paused.epochs[trial.number]
        if done and not is_waiting(paused, trial):
            assert paused.latest[trial.id]["epoch"] == done[-1]


def test_a_restored_trial_has_the_values_that_belong_to_its_weights(paused: Paused) -> None:
    assert set(paused.continued) == {t.id for t in list_unended(paused) if t.id in paused.latest}
    for id_, config in paused.continued.items():
        for key in (LR, MOMENTUM):
            expected = get_dotted(paused.latest[id_]["config"], key)
            section, name = key.split(".")
            assert config[key] == expected
            assert name not in config[section]


def test_the_first_epoch_after_a_pause_equals_that_of_an_uninterrupted_training(
    paused: Paused, assert_same: Callable[[Any, Any], None]
) -> None:
    compared = 0
    for id_, path in paused.after.first_saves.items():
        if id_ in paused.latest:
            saved, held = read_checkpoint(path), paused.latest[id_]
            if saved["epoch"] == held["epoch"]:
                continue  # saved again before an epoch
            expected = one_epoch_after(held, held["config"])
            assert_same(saved["model_state_dict"], expected["model_state_dict"])
            assert_same(saved["optimizer_state_dict"], expected["optimizer_state_dict"])
            compared += 1
    assert compared


def test_the_scheduler_has_every_score_after_a_resume(paused: Paused) -> None:
    at_pause, after = paused.memories
    assert any(score is not None for score in at_pause.values())
    assert after == at_pause


def test_a_resumed_population_trains_every_epoch_once(paused: Paused) -> None:
    assert paused.outcome is not None
    assert paused.outcome.paused is None
    assert [r.record.state for r in paused.outcome.results] == ["finished"] * 4
    for trial_epochs in epochs(paused.directory).values():
        assert trial_epochs == sorted(set(trial_epochs))
        assert trial_epochs[-1] == 5


def test_a_finished_trial_of_a_population_stays_unchanged(paused: Paused) -> None:
    ended = [trial for trial in paused.at_pause.values() if trial.state in ENDED]
    assert ended or paused.name != "pb2_with_a_finished_trial"
    for trial in ended:
        assert trial.id not in paused.continued
        rows = read_rows(paused.directory / trial.directory / "metrics.jsonl")
        assert [row["epoch"] for row in rows] == paused.epochs[trial.number]
        assert trial in trials(paused.directory)


def test_the_lineage_has_only_exploits_that_took_place(paused: Paused) -> None:
    names = {trial.id: trial.directory for trial in paused.at_pause.values()}
    for trial in trials(paused.directory):
        latest = read_checkpoint(paused.directory / trial.directory / "checkpoints" / "latest.pt")
        assert {k: get_dotted(latest["config"], k) for k in (LR, MOMENTUM)} == trial.current
        exploits = [
            (exploit.epoch, names[exploit.donor])
            for exploit in (*paused.before.exploits, *paused.after.exploits)
            if exploit.recipient == trial.id and exploit.started
        ]
        assert [(taken["epoch"], taken["donor"]) for taken in trial.lineage] == exploits


def test_a_donors_checkpoint_stays_until_its_recipient_has_loaded_it(
    ray_session: None, tmp_path: Path
) -> None:
    """Trials run one at a time: the donor has saved newer states before its recipient starts."""
    spec = search(
        tmp_path,
        space={LR: {"grid": [0.5, 1e-4]}},
        tune={
            "num_samples": 2,
            "search_alg": "grid",
            "scheduler": {"name": "pbt", "perturbation_interval": 6, "quantile_fraction": 0.5},
        },
        config={"checkpoint": {"save_frequency": 1}, "training": {"epochs": 19}},
        resources=ONE_AT_A_TIME,
    )
    outcome = start(spec)
    donor, recipient = trials(outcome.directory)
    assert [trial.state for trial in (donor, recipient)] == ["finished", "finished"]
    assert recipient.failures == []
    assert [taken["epoch"] for taken in recipient.lineage][:1] == [12]
    results = [
        (e["trial"], e["epoch"]) for e in events(outcome.directory) if e["kind"] == "result"
    ]
    waited = results.index((donor.id, 18)) < results.index((recipient.id, 13))
    assert waited, "the recipient did not have to wait"
    kept = list((outcome.directory / donor.directory).glob("checkpoint_*"))
    assert len(kept) <= 3, "checkpoints that no recipient needs are deleted"
