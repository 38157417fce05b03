"""Values of `tune.points_to_evaluate`: refused by their position, converted, each once."""

import pytest

from sweeps.search.searcher import Searcher
from tests.support.search_specs import spec_of
from trainable.errors import ConfigError


@pytest.mark.parametrize(
    ("point", "problem"),
    [
        ({"optimizer.momentum": 0.55}, '.optimizer.momentum: must be one that {"quniform": ['),
        ({"optimizer.learning_rate": 2.0}, ".optimizer.learning_rate: must be one that"),
        ({"optimizer.learning_rate": "a"}, ".optimizer.learning_rate: must be one that"),
        ({"training.batch_size": 32.5}, ".training.batch_size: must be one that"),
        ({"training.batch": 32}, '.training.batch: must be a key of the space; did you mean "'),
        (
            {"optimizer.name": "adamw", "optimizer.momentum": 0.6},
            '.optimizer.momentum: does not exist where optimizer.name is "adamw"; leave it out',
        ),
        ({"training.batch_size": 100, "optimizer.learning_rate": 0.9}, ": must keep the constra"),
    ],
)
def test_a_point_that_cannot_be_drawn_is_refused_by_its_position(point, problem):
    with pytest.raises(ConfigError) as error:
        spec_of({}, point, constraints=["training.batch_size * optimizer.learning_rate < 64"])
    (only,) = error.value.problems
    assert f"{only.key}: {only.rule}".startswith(f"tune.points_to_evaluate[1]{problem}")


def test_a_configuration_that_is_given_twice_is_refused():
    first = {"optimizer.name": "adamw", "optimizer.learning_rate": 1, "training.batch_size": 64}
    again = {**first, "optimizer.learning_rate": 1.0}
    with pytest.raises(ConfigError) as error:
        spec_of(first, {"training.batch_size": 64}, again)
    (only,) = error.value.problems
    assert f"{only.key}: {only.rule}" == (
        "tune.points_to_evaluate[2]: is the configuration of tune.points_to_evaluate[0] again; "
        "leave it out (tune.repeats trains every configuration several times)"
    )


def test_points_that_leave_keys_out_may_be_equal():
    spec = spec_of({"training.batch_size": 64}, {"training.batch_size": 64})
    searcher = Searcher(spec)
    first, second = searcher.suggest(0), searcher.suggest(1)
    assert first["training.batch_size"] == second["training.batch_size"] == 64
    assert first["optimizer.learning_rate"] != second["optimizer.learning_rate"]


def test_a_given_value_has_the_type_of_drawn_ones():
    spec = spec_of({"optimizer.learning_rate": 1, "training.batch_size": 64.0})
    values = Searcher(spec).suggest(0)
    given = values["optimizer.learning_rate"], values["training.batch_size"]
    assert repr(given) == "(1.0, 64)"
