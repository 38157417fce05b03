"""Errors for users: one text with every problem of a file, which also survives pickling."""

import pickle

from trainable.errors import ConfigError, Problem, TuneSweepsError

PROBLEMS = [
    Problem("optimizer.lr", "must be > 0, found 0", 3),
    Problem("epochs", "required key is missing"),
    Problem("", "must be a mapping of keys, found nothing"),
]


def test_a_config_error_lists_its_problems_with_line_and_key():
    error = ConfigError("search.yaml", PROBLEMS)
    assert str(error).splitlines() == [
        "search.yaml: 3 problems",
        "  line 3: optimizer.lr: must be > 0, found 0",
        "  epochs: required key is missing",
        "  must be a mapping of keys, found nothing",
    ]
    assert isinstance(error, TuneSweepsError)


def test_one_problem_is_counted_in_the_singular():
    assert str(ConfigError("a.yaml", PROBLEMS[1:2])).startswith("a.yaml: 1 problem\n")


def test_a_config_error_is_pickled_with_its_problems():
    error = pickle.loads(pickle.dumps(ConfigError("search.yaml", PROBLEMS)))
    assert error.problems == tuple(PROBLEMS)
    assert str(error) == str(ConfigError("search.yaml", PROBLEMS))
