"""A search file with a condition, for tests of the rules between its keys."""

from typing import Any

from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec

SPACE = {
    "optimizer.name": {"choice": ["sgd", "adamw"]},
    "optimizer.momentum": {"quniform": [0.5, 0.9, 0.1], "when": {"optimizer.name": "sgd"}},
    "optimizer.learning_rate": {"loguniform": [1e-3, 1.0]},
    "training.batch_size": {"randint": [16, 129]},
}


def spec_of(
    *points: dict[str, Any], constraints: tuple[str, ...] | list[str] = (), **tune: Any
) -> SearchSpec:
    """Parses it with these `points_to_evaluate`, constraints and keys of `tune`."""
    config = {
        "dataset": {"name": "digits"},
        "model": {"name": "resnet20"},
        "training": {"epochs": 9},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }
    tune = {"num_samples": 4, "seed": 1, "points_to_evaluate": list(points), **tune}
    data = {"config": config, "space": SPACE, "constraints": list(constraints), "tune": tune}
    return parse_search(data)
