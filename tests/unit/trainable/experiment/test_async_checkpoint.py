"""A snapshot is the state at the call, although training continues while it is copied."""

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Timer
from typing import Any

import pytest
import torch

from trainable.artifacts.checkpoint import to_cpu
from trainable.config import parse_config
from trainable.experiment import async_checkpoint
from trainable.experiment.async_checkpoint import take_snapshot
from trainable.training.trainer import Trainer

AssertSame = Callable[[Any, Any], None]
SLOW_S = 0.3
OPTIMIZERS = {
    "sgd": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    "adamw": {"name": "adamw", "learning_rate": 0.01},
}


@pytest.fixture
def slow_copier(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Copies nothing before this event is set."""
    released = Event()
    with ThreadPoolExecutor(1) as copier:
        monkeypatch.setattr(async_checkpoint, "COPIER", copier)
        copier.submit(released.wait)
        yield released
        released.set()


def trainer_of(
    model: str, optimizer: dict[str, Any], device: str = "cpu", *, averages: bool = False
) -> Trainer:
    config = {
        "seed": {"enabled": True},
        "dataset": {"name": "synthetic", "num_train": 24, "num_test": 8, "shape": [3, 8, 8]},
        "model": {"name": model},
        "training": {"epochs": 3, "batch_size": 8},
        "optimizer": optimizer,
        "ema": {"enabled": averages, "decay": 0.5},
    }
    trainer = Trainer(
        parse_config(config), device=torch.device(device), allow_custom_model=":" in model
    )
    trainer.run_epoch()
    return trainer


@pytest.mark.parametrize(
    ("model", "optimizer", "averages"),
    [
        ("resnet20", "sgd", False),
        ("resnet20", "adamw", True),
        ("tiny_models:Restless", "sgd", True),
    ],
)
def test_further_training_does_not_change_the_snapshot(
    slow_copier: Event, assert_same: AssertSame, model: str, optimizer: str, averages: bool
) -> None:
    trainer, alone = (
        trainer_of(model, OPTIMIZERS[optimizer], averages=averages) for _ in range(2)
    )
    then = copy.deepcopy(to_cpu(trainer.state_dict()))
    snapshot = take_snapshot(trainer)
    Timer(SLOW_S, slow_copier.set).start()
    trainer.run_epoch()
    alone.run_epoch()
    snapshot.wait()
    assert_same(snapshot.state, then)
    assert_same(to_cpu(trainer.state_dict()), to_cpu(alone.state_dict()))


def test_the_forward_pass_does_not_wait_for_the_copy_but_the_step_does(slow_copier: Event) -> None:
    trainer = trainer_of("resnet20", OPTIMIZERS["sgd"])
    seen: dict[str, bool] = {}

    def look(what: str) -> None:
        seen.setdefault(what, slow_copier.is_set())

    trainer.train_step.loss_fn.register_forward_hook(lambda *_: look("forward"))
    snapshot = take_snapshot(trainer)
    trainer.optimizer.register_step_pre_hook(lambda *_: look("step"))
    Timer(SLOW_S, slow_copier.set).start()
    trainer.run_epoch()
    assert seen == {"forward": False, "step": True}
    snapshot.wait()


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_further_training_does_not_change_the_snapshot_of_a_gpu(
    assert_same: AssertSame, optimizer: str
) -> None:
    trainer = trainer_of("resnet18", OPTIMIZERS[optimizer], "cuda")
    for _ in range(2):
        torch.cuda.synchronize()
        then = copy.deepcopy(to_cpu(trainer.state_dict()))
        snapshot = take_snapshot(trainer)
        trainer.run_epoch()
        snapshot.wait()
        assert_same(snapshot.state, then)


def test_the_memory_of_the_last_snapshot_is_reused(assert_same: AssertSame) -> None:
    trainer = trainer_of("resnet20", OPTIMIZERS["sgd"])
    first = take_snapshot(trainer)
    first.wait()
    trainer.run_epoch()
    second = take_snapshot(trainer, first)
    second.wait()
    key = "stem.0.weight"
    model, optimizer = "model_state_dict", "optimizer_state_dict"
    assert second.state[model][key].data_ptr() == first.state[model][key].data_ptr()
    assert_same(second.state[optimizer], to_cpu(trainer.state_dict()[optimizer]))


def test_a_failed_copy_raises_in_the_training_and_in_the_writer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = trainer_of("resnet20", OPTIMIZERS["sgd"])

    def fail(pairs: Any) -> None:
        if len(pairs) > 100:
            raise MemoryError("none left")

    monkeypatch.setattr(async_checkpoint, "_copy", fail)
    snapshot = take_snapshot(trainer)
    with pytest.raises(MemoryError, match="none left"):
        snapshot.wait()
    with pytest.raises(MemoryError, match="none left"):
        trainer.run_epoch()
