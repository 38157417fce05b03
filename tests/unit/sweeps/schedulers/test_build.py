"""Tune's schedulers get every setting of the search file and count time in epochs."""

import inspect
from types import SimpleNamespace

import pytest
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    HyperBandForBOHB,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)

from sweeps.schedulers.build import build_scheduler
from sweeps.space.distributions import Range
from sweeps.spec.schedulers import ASHA, FIFO, PB2, PBT, BOHBHyperBand, HyperBand, Median


def decide(scheduler, curves, metric="val_acc"):
    """Returns the epoch at which each trial is stopped; trials run one after another."""
    stopped = []
    for index, curve in enumerate(curves):
        trial = SimpleNamespace(trial_id=str(index))
        scheduler.on_trial_add(None, trial)
        for epoch, value in enumerate(curve, start=1):
            result = {"epoch": epoch, metric: value, "training_iteration": 1}
            if scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP:
                break
        stopped.append(epoch)
    return stopped


def asha(section, *, metric="val_acc", mode="max", max_t=8):
    return build_scheduler(section, {}, metric=metric, mode=mode, max_t=max_t)


def test_fifo_lets_every_trial_train_all_its_epochs():
    scheduler = build_scheduler(FIFO(), {}, metric="val_acc", mode="max", max_t=4)
    assert type(scheduler) is FIFOScheduler
    assert decide(scheduler, [[0.9] * 4, [0.1] * 4]) == [4, 4]


def test_asha_stops_the_worse_trial_at_its_first_rung_and_the_better_at_max_t():
    assert decide(asha(ASHA(name="asha")), [[0.9] * 8, [0.1] * 8, [0.95] * 8]) == [8, 1, 8]


def test_asha_waits_for_the_grace_period():
    section = ASHA(name="asha", grace_period=3, reduction_factor=2)
    assert decide(asha(section), [[0.9] * 8, [0.1] * 8]) == [8, 3]


def test_asha_minimises_a_loss():
    scheduler = asha(ASHA(name="asha"), metric="val_loss", mode="min")
    assert decide(scheduler, [[0.1] * 8, [0.9] * 8], "val_loss") == [8, 1]


def test_max_t_of_the_section_overrides_the_epochs():
    section = ASHA(name="asha", max_t=5)
    assert decide(asha(section), [[0.9] * 8]) == [5]


@pytest.mark.parametrize(("reduction_factor", "brackets"), [(3.0, 2), (2.5, 1)])
def test_asha_gets_its_reduction_factor_and_brackets(reduction_factor, brackets):
    section = ASHA(name="asha", reduction_factor=reduction_factor, brackets=brackets)
    scheduler = asha(section, max_t=27)
    assert isinstance(scheduler, ASHAScheduler)
    rungs = [[milestone for milestone, _ in bracket._rungs] for bracket in scheduler._brackets]
    assert len(rungs) == brackets
    assert rungs[0][-1] == 1
    assert rungs[0][-2] == reduction_factor


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        (ASHA(name="asha"), ASHAScheduler),
        (HyperBand(name="hyperband"), HyperBandScheduler),
        (BOHBHyperBand(name="bohb"), HyperBandForBOHB),
        (Median(name="median"), MedianStoppingRule),
        (PBT(name="pbt"), PopulationBasedTraining),
        (PB2(name="pb2"), PopulationBasedTraining),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_tunes_class_gets_every_argument_that_it_has(monkeypatch, section, kind):
    """Tune ignores unknown arguments, and its defaults may change."""
    real, passed = kind.__init__, {}

    def init(self, **arguments):
        passed.update(arguments)
        real(self, **arguments)

    monkeypatch.setattr(kind, "__init__", init)
    space = {"optimizer.learning_rate": Range(0.1, 0.2)}
    scheduler = build_scheduler(section, space, metric="val_acc", mode="max", max_t=4)
    assert isinstance(scheduler, kind)
    parameters = set(inspect.signature(real).parameters) - {"self"}
    assert set(passed) == parameters
    if not isinstance(section, PB2):
        assert set(type(section).model_fields) - {"name"} <= parameters
    assert passed["time_attr"] == "epoch"
