"""Keys in expressions, and constraints that leave nothing to try, are named in the refusal."""

from typing import Any

import pytest

from sweeps.spec.load import parse_search
from trainable.errors import ConfigError

CONFIG: dict[str, Any] = {
    "dataset": {"name": "digits"},
    "model": {"name": "resnet20"},
    "training": {"epochs": 9},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}
RATES = {"optimizer.learning_rate": {"choice": [0.1, 0.2]}}


def refused(space: dict[str, Any], *constraints: str, **tune: Any) -> list[str]:
    data = {"config": CONFIG, "space": space, "constraints": list(constraints)}
    with pytest.raises(ConfigError) as error:
        parse_search({**data, "tune": {"num_samples": 2, "seed": 1, **tune}})
    return [f"{problem.key}: {problem.rule}" for problem in error.value.problems]


KINDS = {"optimizer": {"choice": [{"name": "adam"}, {"name": "adamw"}]}}


@pytest.mark.parametrize(
    ("space", "name", "rule"),
    [
        (
            RATES,
            "optimizer",
            "is a section, not a value; name one of its keys (args, betas, "
            "decay_norm_and_bias, eps, head_lr_factor, layer_decay, learning_rate, momentum, "
            "name, nesterov, weight_decay)",
        ),
        (
            RATES,
            "optimizer.momentun",
            'is not a key of the space or the training config; did you mean "momentum"? '
            "(known: args, betas, decay_norm_and_bias, eps, head_lr_factor, layer_decay, "
            "learning_rate, momentum, name, nesterov, weight_decay)",
        ),
        (
            KINDS,
            "optimizer.lerning_rate",
            'is not a key of the space or the training config; did you mean "learning_rate"? '
            "(known: args, betas, decay_norm_and_bias, eps, head_lr_factor, layer_decay, "
            "learning_rate, momentum, name, nesterov, weight_decay)",
        ),
        (
            RATES,
            "optimizer.learning_rate.x",
            'is not a key of the space or the training config; did you mean "learning_rate"? '
            "(known: args, betas, decay_norm_and_bias, eps, head_lr_factor, layer_decay, "
            "learning_rate, momentum, name, nesterov, weight_decay)",
        ),
        (
            RATES,
            "optimzer.learning_rate",
            "is not a key of the space or the training config; did you mean "
            '"optimizer.learning_rate"?',
        ),
        (RATES, "optimizer.eps", "is not a key of optimizer sgd; it belongs to adam, adamw"),
        (
            {"optimizer.name": {"choice": ["adam", "adamw"]}},
            "optimizer.momentum",
            "is not a key of optimizer adam, adamw; it belongs to sgd",
        ),
        (KINDS, "optimizer.momentum", "is not a key of optimizer adam, adamw; it belongs to sgd"),
    ],
)
def test_a_key_that_no_trial_has_is_refused_by_its_name(
    space: dict[str, Any], name: str, rule: str
) -> None:
    assert refused(space, "seed.value > 0", f"{name} < 3") == [f"constraints[1]: {name} {rule}"]
    derived = {**space, "training.batch_size": {"expr": f"{name} * 2"}}
    assert refused(derived) == [f"space.training.batch_size.expr: {name} {rule}"]


def test_a_key_that_some_trials_have_is_accepted() -> None:
    when = {"model.name": "cnv"}
    space = {
        "model.name": {"choice": ["resnet20", "cnv"]},
        "optimizer.name": {"choice": ["adam"], "when": when},
    }
    data = {"config": CONFIG, "space": space, "constraints": ["optimizer.momentum < 1"]}
    parse_search({**data, "tune": {"num_samples": 2}})


@pytest.mark.parametrize("algorithm", ["random", "grid", "tpe"])
def test_a_constraint_that_a_constant_breaks_is_named_with_it(algorithm: str) -> None:
    noun = "2 points" if algorithm == "grid" else "1000 draws"
    assert refused(RATES, "optimizer.learning_rate > 0", "optimizer.weight_decay > 0.1",
                   search_alg=algorithm) == [
        f"constraints[1]: leaves nothing to try: none of {noun} keeps it; "
        "optimizer.weight_decay is 0.0 in all of them"
    ]  # fmt: skip


def test_a_grid_beside_other_keys_is_not_blamed_for_their_constraint() -> None:
    space = {"training.batch_size": {"grid": [32, 64]}, "seed.value": {"randint": [0, 9]}}
    assert refused(space, "seed.value > 9") == [
        "constraints[0]: leaves nothing to try: none of 1000 draws keeps it"
    ]
    assert refused(space, "training.batch_size > 64") == [
        "constraints[0]: leaves nothing to try: none of 2 points keeps it"
    ]


def test_constraints_that_rule_each_other_out_are_refused_together() -> None:
    below, above = "optimizer.learning_rate < 0.15", "optimizer.learning_rate > 0.15"
    assert refused(RATES, below, above) == [
        "constraints: leave nothing to try together: none of 1000 draws keeps all of them"
    ]
