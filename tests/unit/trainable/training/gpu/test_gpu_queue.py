"""Events of a GPU, and the environment of processes that train on one."""

import pytest

from trainable.config import parse_config
from trainable.errors import ExperimentError
from trainable.profiling.concurrent import train_concurrently
from trainable.training.gpu.gpu_queue import CONNECTIONS_VARIABLE, is_unreached, queue_settings


class GpuEvent:
    """Fake of an event of the GPU, in one of three conditions."""

    def __init__(self, condition: bool | str) -> None:
        self._condition = condition

    def query(self) -> bool:
        if isinstance(self._condition, str):
            raise RuntimeError(self._condition)
        return self._condition

    def synchronize(self) -> None:
        self.query()


def test_only_an_unreached_event_is_waited_for() -> None:
    assert is_unreached(GpuEvent(False))
    assert not is_unreached(GpuEvent(True))
    assert not is_unreached(GpuEvent("the launch failed"))
    assert not is_unreached(None)


def test_all_hardware_queues_are_used_unless_the_user_sets_a_number() -> None:
    assert queue_settings({"HOME": "/"}) == {CONNECTIONS_VARIABLE: "32"}
    assert queue_settings({CONNECTIONS_VARIABLE: "4"}) == {CONNECTIONS_VARIABLE: "4"}


@pytest.mark.slow
@pytest.mark.parametrize(("own", "expected"), [(None, "32"), ("4", "4")])
def test_copies_that_are_measured_together_have_the_setting(
    monkeypatch: pytest.MonkeyPatch, own: str | None, expected: str
) -> None:
    monkeypatch.delenv(CONNECTIONS_VARIABLE, raising=False)
    if own is not None:
        monkeypatch.setenv(CONNECTIONS_VARIABLE, own)
    data = {
        "dataset": {"name": "digits", "val_split": 0.2},
        "model": {"name": "environment_models:shows_hardware_queues"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "training": {"epochs": 1, "batch_size": 64},
    }
    with pytest.raises(ExperimentError, match=f"RuntimeError: {expected} hardware queues$"):
        train_concurrently(
            parse_config(data), 1, gpu=0, threads=1, allow_custom_model=True, seconds=0.2
        )
