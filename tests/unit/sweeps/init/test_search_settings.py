"""Tests of `sweeps.init.search_settings`: space, algorithm, scheduler and resources."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sweeps.init.search_settings import format_budget, list_search_settings
from sweeps.init.sizing import Conditions, choose_size
from sweeps.init.training_settings import to_nested
from tests.support.new_sweeps import CPU, GPU
from tests.unit.sweeps.init.test_sizing import DIGITS, PHOTOS, PRETRAINED, SMALL

FINETUNE = Conditions(PHOTOS, CPU, PRETRAINED, "good")


def search_of(given: Conditions, **changes: Any) -> dict[str, Any]:
    size = replace(choose_size(given), **changes)
    return to_nested(list_search_settings(given, size, "name", "training.yaml"))


def test_few_trials_are_spread_and_many_learn() -> None:
    few = search_of(Conditions(PHOTOS, CPU, PRETRAINED, "quick"))["tune"]
    assert (few["search_alg"], few["scheduler"]) == ("qmc", "fifo")
    many = search_of(FINETUNE, trials=18)["tune"]
    assert many["search_alg"] == {"name": "tpe", "n_startup_trials": 6}
    assert many["scheduler"] == {"name": "asha", "grace_period": 3, "reduction_factor": 3}
    assert many["final"] == {"top": 3, "repeats": 2}


def test_a_fine_tuning_varies_what_was_measured() -> None:
    space = search_of(FINETUNE)["space"]
    assert space["optimizer.learning_rate"] == {"loguniform": [1e-4, 4e-4]}
    assert space["model.freeze"] == {"choice": [{"stages": 3}, {"stages": 5}]}
    many = replace(FINETUNE, facts=replace(PHOTOS, train=30_000))
    assert "model.freeze" not in search_of(many)["space"]


def test_folds_are_trained_in_turn_without_early_stops() -> None:
    tune = search_of(replace(FINETUNE, preset="best"))["tune"]
    assert (tune["repeats"], tune["scheduler"], "final" in tune) == (5, "fifo", False)


def test_a_longer_search_from_scratch_tries_averaged_weights() -> None:
    quick = search_of(Conditions(DIGITS, CPU, SMALL, "quick"))["space"]
    good = search_of(Conditions(DIGITS, CPU, SMALL, "good"))["space"]
    assert good.keys() - quick.keys() == {"ema.enabled"}
    coloured = Conditions(replace(DIGITS, channels=3), CPU, SMALL, "good")
    assert "augment.trivialaugment" in search_of(coloured)["space"]


def test_a_gpu_is_shared_as_far_as_that_is_faster() -> None:
    assert search_of(FINETUNE)["resources"] == {"cpu": 1}
    assert search_of(replace(FINETUNE, machine=GPU))["resources"] == {"cpu": 4, "gpu": "auto"}


@pytest.mark.parametrize(
    ("seconds", "text"), [(600, "10m"), (5400, "90m"), (28800, "8h"), (90, "90s"), (0.5, "0.5s")]
)
def test_a_budget_is_written_as_the_search_file_has_it(seconds: float, text: str) -> None:
    assert format_budget(seconds) == text
