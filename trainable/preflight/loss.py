"""Builds the user's own loss and runs it once: it must return a number that can be minimised."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trainable.augment.streams import same_random_numbers
from trainable.config import OwnLoss, TrainConfig
from trainable.errors import Problem, TuneSweepsError, summarize_exception
from trainable.preflight.shapes import DataShape
from trainable.training.losses import build_loss

LOSS = "loss.name"
IMAGES = 4
"""Images of the batch that the loss is run on."""


def check_loss(config: TrainConfig, loss: OwnLoss, data: DataShape) -> list[Problem]:
    """Runs an own loss on random logits with labels and, if images are mixed, with soft targets.

    Args:
        config: The config.
        loss: Its loss, which is code of the user's that is run.
        data: The shape of its data.
    """
    num_classes = config.model.num_classes or data.num_classes
    with same_random_numbers():
        try:
            loss_fn = build_loss(loss, num_classes, allow_custom=True)
        except TuneSweepsError as error:
            return [Problem(LOSS, str(error).removeprefix(f"{LOSS} "))]
        rules = list(_check(loss_fn, num_classes, mixes=config.augment.mixes))
    return [Problem(LOSS, f'"{loss.name}" {rule}') for rule in rules[:1]]


def _check(loss_fn: nn.Module, num_classes: int, *, mixes: bool) -> Iterator[str]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(num_classes, (IMAGES,), generator=generator)
    kinds = {f"labels [{IMAGES}] int64": labels}
    if mixes:
        mixed = torch.rand(IMAGES, num_classes, generator=generator).softmax(1)
        kinds[
            f"the soft targets [{IMAGES}, {num_classes}] float32 of augment.mixup and cutmix"
        ] = mixed
    for kind, targets in kinds.items():
        logits = torch.randn(IMAGES, num_classes, generator=generator).requires_grad_()
        try:
            rule = _check_result(loss_fn(logits, targets), logits)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's code raises
            rule = f"failed: {summarize_exception(error)}"
        if rule is not None:
            yield f"{rule} (with logits [{IMAGES}, {num_classes}] and {kind})"


def _check_result(loss: object, logits: Tensor) -> str | None:
    """Returns what a loss must return and what it returns instead; None if it is right."""
    if not isinstance(loss, Tensor):
        return f"must return a tensor, found {type(loss).__name__}"
    if loss.ndim != 0:
        return f"must return the mean over the batch, a scalar, found {list(loss.shape)}"
    if not loss.isfinite():
        return f"must return a finite number, found {loss.item()}"
    if not loss.requires_grad:
        return "must return a tensor that depends on the logits, found one without gradient"
    loss.backward()  # type: ignore[no-untyped-call]
    if logits.grad is None or not logits.grad.isfinite().all():
        return "must have a finite gradient by the logits"
    return None
