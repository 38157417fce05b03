"""Tune's snapshots and progress output during a sweep."""

import os

import pytest
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.utils.callback import _create_default_callbacks

from sweeps.execution.tune_overhead import NoProgress, reduced_overhead

pytestmark = pytest.mark.ray


@pytest.mark.parametrize(
    ("before", "trials", "inside"), [("60", 10, 60), ("60", 1000, 300), ("5", 1000, 5)]
)
def test_snapshots_of_a_long_sweep_are_rarer_unless_the_user_has_set_their_interval(
    before: str, trials: int, inside: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_GLOBAL_CHECKPOINT_S", before)
    with reduced_overhead(limit=3, trials=trials):
        assert float(os.environ["TUNE_GLOBAL_CHECKPOINT_S"]) == inside
        assert os.environ["TUNE_MAX_PENDING_TRIALS_PG"] == "1000"  # the limit may be raised
    assert os.environ["TUNE_GLOBAL_CHECKPOINT_S"] == before


def test_a_trial_released_before_its_first_epoch_is_not_reported_as_completed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = {}
    for name, callbacks in {"tune": [], "ours": [NoProgress()]}.items():
        for callback in _create_default_callbacks(callbacks, air_verbosity=None):
            if isinstance(callback, TrialProgressCallback):
                callback.on_trial_complete(0, [], Trial("toy", stub=True))
        output[name] = capsys.readouterr().out
    assert "completed" in output["tune"]
    assert output["ours"] == ""
