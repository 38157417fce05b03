"""The schedules' keys, and the rules between them."""

import pytest

from trainable.config import parse_config
from trainable.errors import ConfigError

BASE = {
    "dataset": {"name": "digits"},
    "model": {"name": "resnet20"},
    "training": {"epochs": 9},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}


def scheduler(**section):
    return parse_config({**BASE, "scheduler": section}).scheduler


@pytest.mark.parametrize(
    "name", ["cosine", "exponential", "inverse_sqrt", "linear", "none", "one_cycle", "polynomial"]
)
def test_every_schedule_can_count_steps(name):
    section = scheduler(name=name, on="step", warmup_steps=5)
    assert (section.on, section.warmup_steps, section.warmup_epochs) == ("step", 5, 0)
    assert scheduler(name=name).on == "epoch"


@pytest.mark.parametrize(
    ("section", "rule"),
    [
        ({"warmup_steps": 5}, "scheduler.warmup_steps: needs scheduler.on: step, found 5"),
        ({"on": "step", "warmup_steps": 5, "warmup_epochs": 1},
         "scheduler.warmup_steps: must be 0 with warmup_epochs (1), found 5"),
        ({"name": "plateau", "on": "step"}, 'scheduler.on: must be "epoch" for plateau'),
        ({"name": "one_cycle", "pct_start": 1.0}, "scheduler.pct_start: must be < 1, found 1"),
        ({"name": "cosine_restarts"}, "scheduler.T_0: required key is missing"),
        ({"on": "steps"}, 'scheduler.on: must be "epoch" or "step", found "steps"'),
    ],
)  # fmt: skip
def test_keys_that_contradict_one_another_are_refused(section, rule):
    with pytest.raises(ConfigError) as raised:
        scheduler(**section)
    assert rule in str(raised.value)
