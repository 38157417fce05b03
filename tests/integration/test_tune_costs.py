"""What Tune is kept from doing for every trial: private names that a release of Ray may change."""

import os

import pytest
from ray.tune import registry
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.registry import register_trainable
from ray.tune.utils.callback import _create_default_callbacks

from sweeps.execution.tune_overhead import NoProgress, cheaper_tune
from tests.support.toy_trainable import Toy

pytestmark = pytest.mark.ray


def test_a_trainable_is_looked_up_once_while_a_sweep_runs_and_each_time_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register_trainable("toy", Toy)
    asked: list[bytes] = []
    original = registry._internal_kv_get
    monkeypatch.setattr(
        registry, "_internal_kv_get", lambda key: asked.append(key) or original(key)
    )
    with cheaper_tune(limit=3, trials=10):
        assert [registry.get_trainable_cls("toy") for _ in range(3)] == [Toy] * 3
        assert len(asked) == 2  # whether it is there, and what it is
        assert os.environ["TUNE_MAX_PENDING_TRIALS_PG"] == "3"
    registry.get_trainable_cls("toy")
    assert len(asked) == 4


@pytest.mark.parametrize(
    ("before", "trials", "inside"), [("60", 10, 60), ("60", 1000, 300), ("5", 1000, 5)]
)
def test_snapshots_of_a_long_sweep_are_rarer_unless_the_user_has_set_how_often(
    before: str, trials: int, inside: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_GLOBAL_CHECKPOINT_S", before)
    with cheaper_tune(limit=1, trials=trials):
        assert float(os.environ["TUNE_GLOBAL_CHECKPOINT_S"]) == inside
    assert os.environ["TUNE_GLOBAL_CHECKPOINT_S"] == before


def test_a_trial_let_go_before_its_first_epoch_is_not_said_to_be_completed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = {}
    for name, callbacks in {"tune": [], "ours": [NoProgress()]}.items():
        for callback in _create_default_callbacks(callbacks, air_verbosity=None):
            if isinstance(callback, TrialProgressCallback):
                callback.on_trial_complete(0, [], Trial("toy", stub=True))
        said[name] = capsys.readouterr().out
    assert "completed" in said["tune"]
    assert said["ours"] == ""
