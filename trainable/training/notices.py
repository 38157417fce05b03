"""Lines for the user on how a training is run and how that differs from its config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainable.data.source import Split
from trainable.optim.frozen import batch_norms
from trainable.training.device import describe_threads
from trainable.training.gpu.cuda_graphs import RECORDED

if TYPE_CHECKING:
    from trainable.training.trainer import Trainer


def describe_execution(trainer: Trainer) -> list[str]:
    """Returns lines for the log on how steps are executed: CUDA graph, compiled model."""
    notes = []
    if trainer.compiled is not None:
        failure = trainer.compiled.failure
        notes.append(
            f"note: the model is not compiled: {failure}" if failure else "the model is compiled"
        )
    if trainer.device.type == "cuda":
        status = trainer.graph_status
        notes.append(
            "steps are replayed as a CUDA graph"
            if status == RECORDED
            else f"note: no CUDA graph: {status}"
        )
    return [*notes, *trainer.features.notes]


def describe_differences(trainer: Trainer) -> list[str]:
    """Returns lines for the user on how a training differs from its config."""
    notices = []
    if trainer.device.type == "cpu":
        notices.append("no CUDA device: training on the CPU")
        if trainer.config.amp.enabled:
            notices.append("amp.enabled has no effect without CUDA: mixed precision is off")
    notices += trainer.source.notices
    notices += describe_threads(trainer.config)
    if trainer.config.model.batch_norm == "eval" and not batch_norms(trainer.model):
        notices.append("model.batch_norm has no effect: the model has no BatchNorm")
    if trainer.metrics is not None:
        splits: list[Split] = ["val", "test"] if trainer.source.has_val else ["test"]
        notices += trainer.metrics.describe_counted({s: trainer.source.size(s) for s in splits})
    if not trainer.source.has_val:
        notices.append(
            "no dataset.val_split or folds: val_acc and best.pt are decided on the test set"
        )
    return notices
