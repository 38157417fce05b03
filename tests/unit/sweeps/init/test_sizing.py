"""Tests of `sweeps.init.sizing`: recipes, image sizes, epochs and trials for a budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sweeps.init.backbones import BACKBONES, ModelChoice, PresetName
from sweeps.init.data_facts import DataFacts
from sweeps.init.machine import Machine
from sweeps.init.sizing import FILLED, Conditions, Size, choose_size, estimate_probed_s
from tests.support.new_sweeps import CPU, GPU, LITE

PHOTOS = DataFacts({"name": "image_folder"}, {}, 6, 326, 77, 0, 30, 90, 3, 151, is_resized=True)
DIGITS = DataFacts({"name": "digits"}, {}, 10, 1438, 359, 0, 143, 143, 1, 8)
PRETRAINED = ModelChoice(BACKBONES[LITE], "", True, weights_side=224)
SMALL = ModelChoice(BACKBONES["resnet20"], "")


def size_of(
    facts: DataFacts = PHOTOS,
    model: ModelChoice = PRETRAINED,
    machine: Machine = CPU,
    preset: PresetName = "quick",
    **others: Any,
) -> Size:
    return choose_size(Conditions(facts, machine, model, preset, **others))


def test_quick_on_a_few_photographs_takes_minutes_on_two_cores() -> None:
    size = size_of()
    assert (size.recipe, size.side, size.trials, size.batch_size) == ("frozen", 128, 8, 32)
    assert size.seconds < 300
    assert not size.early_stop


def test_longer_presets_fine_tune_and_repeat_the_best() -> None:
    good = size_of(preset="good")
    assert (good.recipe, good.early_stop, good.final) == ("finetune", True, (3, 2))
    assert good.seconds <= FILLED * 3600
    best = size_of(preset="best")
    assert (best.folds, best.val_split, best.final, best.early_stop) == (5, None, None, False)
    assert best.trials >= 16


def test_a_larger_budget_has_more_trials_and_larger_images() -> None:
    sizes = [size_of(preset="good", budget_s=60.0 * minutes) for minutes in (10, 60, 240)]
    assert sizes[0].trials <= sizes[1].trials <= sizes[2].trials
    assert (sizes[0].side or 0) <= (sizes[2].side or 0)
    assert sizes[0].seconds < sizes[2].seconds


def test_a_machine_that_is_measured_to_be_slow_gets_less() -> None:
    fast, slow = size_of(preset="good"), size_of(preset="good", slowness=8.0)
    assert (slow.recipe, slow.trials) != (fast.recipe, fast.trials)
    assert slow.seconds <= FILLED * 3600


def test_the_budget_of_a_preset_grows_where_nothing_fits_and_that_of_the_user_does_not() -> None:
    cifar = replace(DIGITS, train=50_000, test=10_000, channels=3, side=32)
    size = size_of(cifar, SMALL)
    assert (size.fits, size.trials) == (True, 4)
    assert size.budget_s > size.seconds > 600
    assert not size_of(cifar, SMALL, budget_s=300.0).fits


def test_images_are_not_enlarged_beyond_what_a_network_needs() -> None:
    sides = {side: size_of(replace(PHOTOS, side=side)).side for side in (50, 120, 400)}
    assert sides == {50: 96, 120: 96, 400: 224}
    assert size_of(DIGITS, SMALL).side is None
    fixed = replace(PRETRAINED, is_fixed=True)
    assert size_of(model=fixed).side == 224


def test_a_validation_set_of_the_data_is_not_split_off_again() -> None:
    size = size_of(replace(PHOTOS, val=40), preset="best")
    assert (size.val_split, size.folds) == (None, None)


def test_few_images_from_scratch_have_more_epochs() -> None:
    assert size_of(PHOTOS, SMALL).epochs == 30
    assert size_of(DIGITS, SMALL).epochs == 15
    assert size_of(replace(DIGITS, train=5_000), SMALL).epochs == 12


@pytest.mark.parametrize(
    ("machine", "cpus"),
    [
        (CPU, 1),
        (Machine(64, 0, 256.0), 8),
        (Machine(64, 0, 6.0), 8),
        (GPU, 4),
        (Machine(1, 0, 1), 1),
    ],
)
def test_cores_of_a_trial_follow_from_cores_and_memory(machine: Machine, cpus: int) -> None:
    assert size_of(machine=machine).cpus == cpus


def test_a_probe_of_stored_features_is_compared_with_a_pass_over_the_images() -> None:
    given = Conditions(PHOTOS, CPU, PRETRAINED, "quick")
    frozen = choose_size(given)
    assert estimate_probed_s(frozen, given) > 2
    assert frozen.describe() == "frozen backbone, 8 configurations of 20 epochs at 128 pixels"
