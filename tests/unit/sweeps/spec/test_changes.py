"""Which settings may change while a sweep runs."""

from __future__ import annotations

from typing import Any

import pytest

from sweeps.spec.changes import CHANGEABLE_KEYS, LIVE_KEYS, change_live, read_settings
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from trainable.errors import ConfigError


def build_spec(**tune: Any) -> SearchSpec:
    config = {
        "dataset": {"name": "digits"},
        "model": {"name": "resnet20"},
        "training": {"epochs": 3},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "checkpoint": {"enabled": True},
    }
    space = {"optimizer.learning_rate": {"uniform": [0.01, 0.1]}}
    data = {"config": config, "space": space, "tune": {"num_samples": 4, "seed": 1, **tune}}
    return parse_search(data)


def test_values_are_read_as_in_a_search_file() -> None:
    spec = build_spec()
    values = {
        "tune.num_samples": 64,
        "tune.time_budget": "3h",
        "failure.stop_after": "never",
        "keep.trials": "top 3",
        "hooks.on_best": "./notify.sh",
    }
    changed = change_live(spec, values, "the request")
    assert read_settings(changed, values) == {
        "tune.num_samples": 64,
        "tune.time_budget": 10800.0,
        "failure.stop_after": "never",
        "keep.trials": 3,
        "hooks.on_best": "./notify.sh",
    }
    assert changed.origin is spec.origin
    assert spec.tune.num_samples == 4


@pytest.mark.parametrize("scheduler", ["pbt", "hyperband"])
def test_the_number_of_trials_is_fixed_where_they_are_grouped_at_the_start(scheduler: str) -> None:
    spec = build_spec(scheduler={"name": scheduler})
    with pytest.raises(ConfigError, match=f"is fixed at the start under {scheduler}"):
        change_live(spec, {"tune.num_samples": 8}, "the request")
    assert change_live(spec, {"tune.target": 0.9}, "the request").tune.target == 0.9


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("resources.gpu", 1, "takes effect with a new run"),
        ("config.dataset.num_workers", 2, "takes effect with a new run"),
        ("tune.metric", "val_loss", "no key that can change while the sweep runs"),
        ("tune.num_sample", 2, 'did you mean "tune.num_samples"'),
        ("keep.foo", 2, "unknown key"),
        ("tune.num_samples", "many", "must be an integer"),
        ("tune.num_samples.x", 2, '"num_samples" must be a mapping'),
    ],
)
def test_other_keys_and_values_are_refused(key: str, value: Any, rule: str) -> None:
    with pytest.raises(ConfigError) as error:
        change_live(build_spec(), {key: value}, "the request")
    assert str(error.value).startswith(f"the request: 1 problem\n  {key}: ")
    assert rule in str(error.value)


def test_what_may_change_while_a_sweep_runs_may_change_on_a_resume() -> None:
    assert set(LIVE_KEYS) <= set(CHANGEABLE_KEYS)
