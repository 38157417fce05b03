"""Names of other tools lead to ours."""

import pytest

from trainable.config.names import suggestion
from trainable.config.synonyms import find_synonym

SCHEDULERS = ["asha", "bohb", "fifo", "hyperband", "median", "pb2", "pbt"]
ALGORITHMS = ["bohb", "cmaes", "gp", "grid", "optuna", "qmc", "random", "tpe"]


@pytest.mark.parametrize(
    ("name", "known", "ours"),
    [
        ("lr", ["learning_rate", "momentum"], "learning_rate"),
        ("LR", ["optimizer.learning_rate", "optimizer.momentum"], "optimizer.learning_rate"),
        ("divisor", ["reduction_factor", "max_t"], "reduction_factor"),
        ("eta", ["eta_min", "gamma"], None),
        ("async_hyperband", SCHEDULERS, "asha"),
        ("AsyncHyperBandScheduler", SCHEDULERS, "asha"),
        ("MedianStoppingRule", SCHEDULERS, "median"),
        ("PopulationBasedTraining", SCHEDULERS, "pbt"),
        ("HyperbandPruner", SCHEDULERS, "hyperband"),
        ("bayes", ALGORITHMS, "gp"),
        ("TPESampler", ALGORITHMS, "tpe"),
        ("GridSearch", ALGORITHMS, "grid"),
        ("cma-es", ALGORITHMS, "cmaes"),
        ("nonsense", ALGORITHMS, None),
    ],
)
def test_a_name_of_another_tool_leads_to_the_known_one(
    name: str, known: list[str], ours: str | None
) -> None:
    assert find_synonym(name, known) == ours


def test_a_synonym_is_suggested_before_a_near_spelling() -> None:
    assert suggestion("bs", ["batch_size", "bus"]).startswith('; did you mean "batch_size"?')
