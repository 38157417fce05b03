"""Configurations that are added by hand are completed and checked as those of a search file."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sweeps.spec.load import parse_search
from sweeps.steering.configuration import complete_configuration, needs_other_seed
from tests.support.search_specs import spec_of
from trainable.errors import ConfigError

LR, NAME, MOMENTUM, BATCH, EPOCHS = (
    "optimizer.learning_rate",
    "optimizer.name",
    "optimizer.momentum",
    "training.batch_size",
    "training.epochs",
)
SGD = {NAME: "sgd", MOMENTUM: 0.6, LR: 0.2, BATCH: 20}


@pytest.mark.parametrize(
    ("given", "like", "values"),
    [
        ({LR: 0.05}, {}, {NAME: "sgd", MOMENTUM: 0.9, LR: 0.05, BATCH: 128}),
        ({LR: 0.05}, SGD, {**SGD, LR: 0.05}),
        ({NAME: "adamw"}, SGD, {NAME: "adamw", LR: 0.2, BATCH: 20}),
        ({LR: 1}, {**SGD, "model.freeze": "none"}, {**SGD, LR: 1.0, "model.freeze": "none"}),
        ({LR: 7}, SGD, {**SGD, LR: 7}),
        ({EPOCHS: 30}, SGD, {**SGD, EPOCHS: 30}),
    ],
    ids=["config", "like", "condition", "types", "outside", "another key"],
)
def test_keys_that_are_not_given_have_the_values_of_the_trial_or_the_config(
    given: dict[str, Any], like: dict[str, Any], values: dict[str, Any]
) -> None:
    assert complete_configuration(spec_of(), given, like) == values


@pytest.mark.parametrize(
    ("given", "tune", "problems"),
    [
        (
            {"training.batchsize": 3, "checkpoint.dir": "x", NAME: "adamw", MOMENTUM: 0.5},
            {},
            {"training.batchsize": 'did you mean "batch_size"', "checkpoint.dir": "every trial",
             MOMENTUM: 'exists only where {"optimizer.name": ["sgd"]}'},
        ),
        ({LR: -1, BATCH: 0}, {}, {LR: "must be > 0, found -1", BATCH: "found 0"}),
        ({LR: math.nan, BATCH: math.inf}, {}, {LR: "finite", BATCH: "integer"}),
        ({EPOCHS: 10}, {"scheduler": "asha"}, {EPOCHS: "at most 9, the last epoch of"}),
        ({"model.pretrained": "a.pt"}, {}, {"model.pretrained": "must be an absolute path"}),
        (
            {"dataset.seed": 3, NAME: "adamw"},
            {"scheduler": "pbt"},
            {"dataset.seed": "cannot differ between trials under pbt"},
        ),
    ],
    ids=["keys", "values", "not finite", "epochs", "path", "pbt"],
)  # fmt: skip
def test_all_problems_are_named_at_once(
    given: dict[str, Any], tune: dict[str, Any], problems: dict[str, str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        complete_configuration(plain_spec_of(tune), given, {})
    rules = {problem.key: problem.rule for problem in caught.value.problems}
    assert rules.keys() == problems.keys()
    for key, text in problems.items():
        assert text in rules[key]


def plain_spec_of(tune: dict[str, Any]) -> Any:
    """Returns a search without the condition if PBT, which knows none, schedules it."""
    if "pbt" not in str(tune):
        return spec_of(**tune)
    data = spec_of().to_dict()
    data["space"] = {key: p for key, p in data["space"].items() if key in {LR, MOMENTUM}}
    del data["space"][MOMENTUM]["when"]
    data["config"]["checkpoint"] = {"enabled": True}
    return parse_search({**data, "tune": {**data["tune"], **tune}})


@pytest.mark.parametrize(
    ("values", "other", "needs"),
    [
        (SGD, SGD, True),
        (SGD, {**SGD, LR: 0.3}, False),
        ({**SGD, EPOCHS: 9}, SGD, True),
        ({**SGD, EPOCHS: 8}, SGD, False),
    ],
    ids=["equal", "other value", "the config's value", "another key"],
)
def test_equal_trainings_get_another_seed(
    values: dict[str, Any], other: dict[str, Any], needs: bool
) -> None:
    assert needs_other_seed(spec_of(), values, [other]) == needs
