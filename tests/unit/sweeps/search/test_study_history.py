"""A study that is kept in step with the trials equals one that is filled from nothing."""

import pytest
from optuna import create_study
from optuna.samplers import NSGAIISampler, RandomSampler
from optuna.trial import TrialState

from sweeps.search.study_history import Observation, StudyHistory
from sweeps.space.parsing import parse_parameter

LR = "optimizer.learning_rate"
SPACE = {LR: parse_parameter({"uniform": [0.0, 1.0]})}


def history(*, stateful):
    return StudyHistory(
        SPACE, lambda: create_study(sampler=NSGAIISampler(seed=1)), stateful=stateful
    )


def running(value):
    return Observation({LR: value}, "running")


def complete(value):
    return Observation({LR: value}, "complete", [value])


FAILED = Observation({LR: 0.9}, "failed")


def describe(study):
    return [
        (trial.number, trial.state, trial.params[LR], trial.values, trial.system_attrs)
        for trial in study.trials
    ]


STEPS = [
    [],
    [running(0.1)],
    [running(0.1), running(0.2)],
    [running(0.1), complete(0.2)],
    [running(0.1), complete(0.2), running(0.3)],
    [complete(0.1), complete(0.2), running(0.3), FAILED],
    [complete(0.1), complete(0.2), complete(0.3), FAILED, running(0.5)],
    [complete(0.1), complete(0.2)],
    [complete(0.4), complete(0.2), running(0.6)],
]


@pytest.mark.parametrize("stateful", [False, True])
def test_a_kept_study_equals_a_new_one(stateful):
    kept = history(stateful=stateful)
    for observations in STEPS:
        study = kept.copy_study(observations)
        assert describe(study) == describe(history(stateful=stateful).copy_study(observations))
        states = {"running": TrialState.RUNNING, "complete": TrialState.COMPLETE}
        assert [trial.state for trial in study.trials] == [
            states.get(observation.status, TrialState.FAIL) for observation in observations
        ]
        assert [trial.params[LR] for trial in study.trials] == [
            observation.values[LR] for observation in observations
        ]


@pytest.mark.parametrize("stateful", [False, True])
def test_what_is_asked_in_a_copy_changes_no_later_one(stateful):
    kept = history(stateful=stateful)
    observations = [complete(0.1), running(0.2)]
    first = kept.copy_study(observations)
    before = describe(first)
    first.ask().suggest_float(LR, 0.0, 1.0)
    assert describe(kept.copy_study(observations)) == before


def test_a_stateful_sampler_samples_every_trial_and_its_values_are_replaced():
    samples = []

    class CountingSampler(RandomSampler):
        def sample_independent(self, *arguments):
            samples.append(super().sample_independent(*arguments))
            return samples[-1]

        def __deepcopy__(self, memo):
            return self

    for stateful, count in ((False, 0), (True, 3)):
        samples.clear()
        filled = StudyHistory(
            SPACE, lambda: create_study(sampler=CountingSampler(seed=1)), stateful=stateful
        ).copy_study([complete(0.1), FAILED, running(0.2)])
        assert len(samples) == count
        assert [trial.params[LR] for trial in filled.trials] == [0.1, 0.9, 0.2]
