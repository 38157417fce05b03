"""E1 to E3: our epoch by other loops over the same data, model, batch and precision."""

from __future__ import annotations

import time

import torch
from torch import nn
from torch.utils.data import DataLoader

from tests.benchmarks.loader import PlainDataset, cifar_like, source_of
from tests.benchmarks.sides import Figure, compare
from trainable.config import parse_config
from trainable.epoch import drain, train_epoch
from trainable.losses import build_loss
from trainable.models import get_model
from trainable.optimizers import build_optimizer

BATCH = 128


def config_of(model: str):
    """CIFAR-10's shapes; SGD with Nesterov momentum."""
    return parse_config(
        {
            "dataset": {"name": "cifar10"},
            "model": {"name": model},
            "training": {"epochs": 10, "batch_size": BATCH},
            "optimizer": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True},
        }
    )


def plain_loop(model: nn.Module, loader: DataLoader, device: torch.device) -> None:
    """The loop of the tutorials: a DataLoader, autocast, GradScaler, a look at each loss."""
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, nesterov=True)
    on_card = device.type == "cuda"
    scaler = torch.amp.GradScaler(device.type, enabled=on_card)
    loss_of, total = nn.CrossEntropyLoss(), 0.0
    model.train()
    for images, labels in loader:
        images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.float16, enabled=on_card):
            loss = loss_of(model(images), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        total += loss.item()


def epoch(name: str, model_name: str, images: int, workers: int, goal: str) -> Figure:
    """Seconds for one training pass."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pixels, labels = cifar_like(images)
    loader = DataLoader(
        PlainDataset(pixels, labels),
        batch_size=BATCH,
        shuffle=True,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
    )
    source = source_of(pixels, labels, device)
    config = config_of(model_name)
    theirs, model = (get_model(config).to(device) for _ in range(2))
    model = model.to(memory_format=torch.channels_last)
    optimizer = build_optimizer(config.optimizer, model.parameters(), device)
    loss_fn = build_loss(config.loss, 10)
    on_card = device.type == "cuda"
    scaler = torch.amp.GradScaler(device.type, enabled=on_card)

    def timed(work) -> float:
        started = time.perf_counter()
        work()
        if on_card:
            torch.cuda.synchronize()
        return time.perf_counter() - started

    def ours() -> None:
        steps = train_epoch(
            model,
            source.train_batches(BATCH, seed=1),
            loss_fn,
            optimizer,
            scaler=scaler,
            autocast=lambda: torch.autocast(device.type, torch.float16, enabled=on_card),
            accumulation_steps=1,
        )
        drain(steps)

    return compare(
        name,
        f"{model_name}, {images} images: DataLoader loop / ours, an epoch on {device.type}",
        lambda: timed(lambda: plain_loop(theirs, loader, device)),
        lambda: timed(ours),
        goal=goal,
        rounds=3 if device.type == "cpu" else 5,
    )
