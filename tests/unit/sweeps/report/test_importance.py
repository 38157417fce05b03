"""The importance of a sweep's parameters."""

from pathlib import Path

import pytest

from sweeps.report.importance import MIN_TRIALS, importance
from sweeps.results.loaded_sweep import load
from tests.support.fake_sweeps import FakeSweep


def test_the_parameter_that_decides_the_accuracy_is_the_most_important(tmp_path: Path) -> None:
    """The accuracy of the fake trials depends almost only on the learning rate."""
    sweep = load(FakeSweep(tmp_path / "sweep", trials=60).write())
    importances, problem = importance(sweep)
    assert problem == ""
    assert next(iter(importances)) == "optimizer.learning_rate"
    assert importances["optimizer.learning_rate"] > 0.6
    assert sum(importances.values()) == pytest.approx(1)
    assert set(importances) == set(sweep.sampled_keys)


def test_few_trials_have_none_and_the_reason_says_so(tmp_path: Path) -> None:
    sweep = load(FakeSweep(tmp_path / "sweep", trials=MIN_TRIALS, states={0: "failed"}).write())
    shares, problem = importance(sweep)
    assert shares == {}
    assert problem == (
        "This needs at least 20 trials that ended with a result; there are 19. With fewer, "
        "chance decides."
    )
