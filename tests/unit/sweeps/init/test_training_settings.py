"""Tests of `sweeps.init.training_settings`: the keys of a config, and why they are so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sweeps.init.commented_yaml import Setting
from sweeps.init.data_facts import UNCOUNTED
from sweeps.init.sizing import Conditions, choose_size
from sweeps.init.training_settings import (
    change_settings,
    choose_ema_decay,
    choose_metric,
    list_training_settings,
    to_nested,
)
from tests.support.new_sweeps import CPU, GPU
from tests.unit.sweeps.init.test_sizing import DIGITS, PHOTOS, PRETRAINED, SMALL

FINETUNE = Conditions(PHOTOS, CPU, PRETRAINED, "good")


def config_of(given: Conditions) -> dict[str, Any]:
    return to_nested(list_training_settings(given, choose_size(given)))


def test_a_fine_tuning_has_the_recipe_that_was_measured() -> None:
    config = config_of(FINETUNE)
    model, optimizer = config["model"], config["optimizer"]
    assert (model["batch_norm"], model["freeze"]) == ("eval", {"stages": 5})
    assert model["args"] == {"drop_rate": 0.3, "drop_path_rate": 0.2}
    assert (optimizer["name"], optimizer["learning_rate"]) == ("adamw", 2e-4)
    assert (optimizer["head_lr_factor"], optimizer["decay_norm_and_bias"]) == (20, False)
    assert config["dataset"]["crop_share"] == 1.0
    assert config["augment"] == {"crop": {"min_scale": 0.5}, "horizontal_flip": 0.5}


def test_many_images_are_neither_frozen_nor_kept_to_the_statistics_of_the_weights() -> None:
    many = replace(PHOTOS, train=30_000, smallest=4_000, largest=6_000)
    model = config_of(Conditions(many, GPU, PRETRAINED, "good"))["model"]
    assert {"batch_norm", "freeze"} & model.keys() == set()


def test_classes_of_very_unequal_size_count_alike() -> None:
    uneven = replace(PHOTOS, smallest=5, largest=200)
    config = config_of(replace(FINETUNE, facts=uneven))
    assert config["loss"]["weight"] == "balanced"
    assert config["checkpoint"]["monitor"] == "val_f1_macro"
    assert "f1_macro" in config["metrics"]
    even = config_of(replace(FINETUNE, facts=replace(PHOTOS, smallest=50, largest=60)))
    assert ("weight" in even["loss"], "metrics" in even) == (False, False)


def test_the_loss_decides_where_an_image_is_more_than_chance() -> None:
    size = choose_size(FINETUNE)
    metric, why = choose_metric(PHOTOS, size)
    assert metric == "val_loss"
    assert why == "less noisy than the accuracy of 65 images, of which one is 1.5 points"
    assert choose_metric(replace(PHOTOS, train=5_000), size)[0] == "val_acc"


def test_finished_images_are_not_augmented() -> None:
    assert "augment" not in config_of(replace(FINETUNE, facts=replace(PHOTOS, is_finished=True)))


def test_mixed_precision_is_for_gpus() -> None:
    assert "amp" not in config_of(FINETUNE)
    assert config_of(replace(FINETUNE, machine=GPU))["amp"] == {"enabled": True}


def test_the_average_of_the_weights_is_over_the_last_tenth_of_the_steps() -> None:
    given = Conditions(DIGITS, CPU, SMALL, "good")
    size = choose_size(given)
    assert config_of(given)["ema"]["decay"] == choose_ema_decay(DIGITS, size)
    steps = size.epochs * 45
    assert choose_ema_decay(DIGITS, size) == pytest.approx(1 - 10 / steps, abs=1e-3)
    assert "ema" not in config_of(replace(given, preset="quick"))


def test_set_replaces_values_adds_keys_and_says_so() -> None:
    settings = [
        Setting(("optimizer", "name"), "sgd", "why"),
        Setting(("metrics",), ["mcc"], "why"),
    ]
    changes = {"optimizer.learning_rate": 0.5, "metrics": ["kappa"], "augment.crop.min_scale": 0.2}
    assert change_settings(settings, changes) == [
        Setting(("optimizer", "name"), "sgd", "why"),
        Setting(("optimizer", "learning_rate"), 0.5, "given with --set"),
        Setting(("metrics",), ["kappa"], "given with --set"),
        Setting(("augment", "crop"), {"min_scale": 0.2}, "given with --set"),
    ]


def test_validation_images_that_were_not_counted_are_not_taken_for_one() -> None:
    uncounted = replace(PHOTOS, val=UNCOUNTED)
    metric, why = choose_metric(uncounted, choose_size(replace(FINETUNE, facts=uncounted)))
    assert (metric, why) == ("val_acc", "accuracy on the validation images")
