"""Trainings that the checks compare, and how far their results are apart."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.support.replayed_operations import ReplayRecorder
from trainable.artifacts.checkpoint import to_cpu
from trainable.config import parse_config
from trainable.optim.optimizers import DeviceLearningRates
from trainable.training.device import default_device
from trainable.training.gpu.cuda_graphs import (
    RECORDED,
    CudaRecorder,
    Recorder,
    Replay,
    graph_refusal,
)
from trainable.training.trainer import Row, Trainer

ON_GPU = torch.cuda.is_available()
DEVICE = default_device()
if not ON_GPU:
    torch.set_num_threads(1)

IMAGES, BATCH = (2000, 96) if ON_GPU else (190, 12)
"""Images of an epoch; two epochs have the full batches that `cuda_graph: auto` wants. The last
batch of an epoch is smaller."""
SHAPE = [3, 16, 16] if ON_GPU else [3, 8, 8]
EPOCHS = 2
SGD = {"name": "sgd", "learning_rate": 2.0**-7, "momentum": 0.9, "weight_decay": 1e-4}
ADAMW = {"name": "adamw", "learning_rate": 2.0**-10}
"""The rates are the same in single precision, in which a recorded step reads them."""

Check = Callable[[], str]
"""Raises if something is wrong; returns what it has seen, in a few words."""


class NeedsGpuError(Exception):
    """A check means nothing without a GPU."""


def need_gpu() -> None:
    """Ends a check that means nothing without a GPU."""
    if not ON_GPU:
        raise NeedsGpuError


def data_of(
    model: str | dict[str, Any] = "resnet20",
    graph: bool | str = False,
    amp: str | None = None,
    training: dict[str, Any] | None = None,
    **sections: Any,
) -> dict[str, Any]:
    """Builds the plain values of a config.

    Args:
        model: Its name, or the whole section.
        graph: `training.cuda_graph`.
        amp: `amp.dtype`; None for single precision.
        training: Further settings of the section.
        sections: Whole sections that win over these.
    """
    return {
        "seed": {"enabled": True, "value": 7, "deterministic": True},
        "dataset": {
            "name": "synthetic",
            "num_train": IMAGES,
            "num_test": 5 * BATCH + 5,
            "shape": SHAPE,
        },
        "model": {"name": model} if isinstance(model, str) else model,
        "training": {
            "epochs": EPOCHS,
            "batch_size": BATCH,
            "cuda_graph": graph,
            **(training or {}),
        },
        "optimizer": SGD,
        "amp": {"enabled": amp is not None, "dtype": amp or "bfloat16"},
        "progress": {"enabled": False},
        **sections,
    }


class CountingRecorder:
    """Records as another recorder does, and counts.

    Args:
        recorder: Does the work.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recordings = 0
        self._recorder = recorder
        self.find_synchronization = recorder.find_synchronization
        self.memory_shortage = recorder.memory_shortage

    def record(self, work: Callable[[], None]) -> Replay:
        """See `Recorder.record`."""
        self.recordings += 1
        return self._recorder.record(work)


def trainer_of(device: torch.device = DEVICE, **values: Any) -> Trainer:
    """Builds a training; see `data_of`.

    Without a GPU, steps are recorded by a stand-in wherever a GPU would record them.
    """
    config = parse_config(data_of(**values))
    trainer = Trainer(config, device=device, allow_custom_model=True)
    full_batches = config.training.epochs * (IMAGES // config.training.batch_size)
    refused = graph_refusal(config, torch.device("cuda", 0), full_batches)
    if not ON_GPU and refused is None:
        trainer.record_with(ReplayRecorder())
        trainer.train_step.rates = DeviceLearningRates(trainer.optimizer, device)
    return trainer


def counted(trainer: Trainer) -> CountingRecorder:
    """Counts the recordings of a training that has not begun."""
    recorder = CountingRecorder(CudaRecorder(DEVICE) if ON_GPU else ReplayRecorder())
    trainer.record_with(recorder)
    return recorder


def trained(trainer: Trainer, epochs: int = EPOCHS) -> list[Row]:
    """Trains some epochs and returns their rows."""
    return [trainer.run_epoch() for _ in range(epochs)]


def assert_recorded(row: Row) -> None:
    """Asserts that a training's last epoch was replayed."""
    assert row["cuda_graph"] == RECORDED or not ON_GPU, row["cuda_graph"]


def count_waits(work: Callable[[], object]) -> str:
    """Does work, asserts that the host waits for the GPU once at most, and says how often."""
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        work()
        torch.cuda.set_sync_debug_mode("default")
    waits = [warning for warning in caught if "synchronizing" in str(warning.message)]
    lines = {f"{Path(warning.filename).name}:{warning.lineno}" for warning in waits}
    assert len(waits) <= 1, f"{len(waits)} waits in a pass: {', '.join(sorted(lines))}"
    return f"{len(waits)} wait in a pass"


def state_of(trainer: Trainer) -> dict[str, Any]:
    """Copies all that a checkpoint holds."""
    return copy.deepcopy(to_cpu(trainer.state_dict()))


def losses(rows: list[Row]) -> list[tuple[float, float]]:
    """Returns the losses of each epoch."""
    return [(row["train_loss"], row["val_loss"]) for row in rows]


def difference(left: Any, right: Any) -> float:
    """Returns the largest difference of two nested states; 0 means bit by bit the same.

    That of two tensors is relative to the largest value of the right one.
    """
    if isinstance(left, torch.Tensor):
        if torch.equal(left, right):
            return 0.0
        if not (torch.isfinite(left).all() and torch.isfinite(right).all()):
            return float("inf")
        gap = (left.double() - right.double()).abs().max()
        return float(gap / right.double().abs().max().clamp(min=1e-6))
    if isinstance(left, dict):
        if left.keys() - {"config"} != right.keys() - {"config"}:
            return float("inf")
        return max(
            (difference(left[key], right[key]) for key in left if key != "config"), default=0.0
        )
    if isinstance(left, list | tuple):
        if len(left) != len(right):
            return float("inf")
        return max((difference(*pair) for pair in zip(left, right, strict=True)), default=0.0)
    if isinstance(left, float) and isinstance(right, float) and left != right:
        return abs(left - right) / max(abs(right), 1e-6)
    return 0.0 if left == right else float("inf")


def assert_close(left: Any, right: Any, limit: float) -> str:
    """Asserts that two nested states are near each other, and says how near."""
    gap = difference(left, right)
    assert gap <= limit, f"apart by {gap:.2g}"
    return "bit by bit" if gap == 0 else f"apart by {gap:.1g}"
