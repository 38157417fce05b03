"""E1 to E3, our epoch by other loops over the same data, model, batch, precision; E5 by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.utils.data import DataLoader

from tests.benchmarks.airbench import AirbenchLoader, airbench_loop, in_half
from tests.benchmarks.loader import MEAN, STD, PlainDataset, cifar_like, source_of
from tests.benchmarks.sides import Figure, Side, compare
from trainable.config import parse_config
from trainable.epoch import drain, train_epoch
from trainable.graphs import RecordedPass
from trainable.losses import build_loss
from trainable.models import get_model
from trainable.optimizers import RatesOnDevice, build_optimizer

BATCH = 128
RATE, MOMENTUM = 0.05, 0.9
CORES = torch.get_num_threads()


def config_of(model: str):
    """CIFAR-10's shapes; SGD with Nesterov momentum."""
    optimizer = {"name": "sgd", "learning_rate": RATE, "momentum": MOMENTUM, "nesterov": True}
    return parse_config(
        {
            "dataset": {"name": "cifar10"},
            "model": {"name": model},
            "training": {"epochs": 10, "batch_size": BATCH},
            "optimizer": optimizer,
        }
    )


def plain_loop(model: nn.Module, loader: DataLoader, device: torch.device) -> None:
    """The loop of the tutorials: a DataLoader, autocast, GradScaler, a look at each loss."""
    optimizer = torch.optim.SGD(model.parameters(), RATE, momentum=MOMENTUM, nesterov=True)
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


class Epochs:
    """The sides: an epoch of each over the same images.

    Args:
        model: Its name.
        images: How many; random ones of CIFAR's shape.
        workers: Of the DataLoader.
    """

    def __init__(self, model: str, images: int, workers: int) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._on_card = self.device.type == "cuda"
        self._config = config_of(model)
        self._pixels, self._labels = cifar_like(images)
        self._workers = workers
        torch.backends.cudnn.benchmark = True

    def plain(self) -> Side:
        """A DataLoader of one PIL image after the other."""
        loader = DataLoader(
            PlainDataset(self._pixels, self._labels),
            batch_size=BATCH,
            shuffle=True,
            num_workers=self._workers,
            pin_memory=self._on_card,
            persistent_workers=self._workers > 0,
        )
        model = get_model(self._config).to(self.device)
        return self._timed(lambda: plain_loop(model, loader, self.device))

    def airbench(self) -> Side:
        """Everything on the device; see `airbench.py`."""
        model = get_model(self._config).to(self.device)
        dtype = torch.float16 if self._on_card else torch.float32
        model = in_half(model) if self._on_card else model
        model = model.to(memory_format=torch.channels_last)
        loader = AirbenchLoader(self._pixels, self._labels, (MEAN, STD), BATCH, self.device, dtype)
        optimizer = torch.optim.SGD(
            model.parameters(),
            RATE / BATCH,
            momentum=MOMENTUM,
            nesterov=True,
            fused=True,
        )
        return self._timed(lambda: airbench_loop(model, loader, optimizer))

    def ours(
        self, layout: torch.memory_format = torch.channels_last, threads: int | None = None
    ) -> Side:
        """Our loop, with its recording on a card.

        Args:
            layout: Of images and weights; ours unless given.
            threads: On a CPU; as many as it has cores unless given.
        """
        source = source_of(self._pixels, self._labels, self.device)
        model = get_model(self._config).to(self.device, memory_format=layout)
        optimizer = build_optimizer(self._config.optimizer, model.parameters(), self.device)
        loss_fn = build_loss(self._config.loss, 10)
        scaler = torch.amp.GradScaler(self.device.type, enabled=self._on_card)
        rates = RatesOnDevice(optimizer, self.device) if self._on_card else None
        recorded = RecordedPass(self.device) if self._on_card else None

        def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            for images, labels in source.train_batches(BATCH, seed=1):
                yield images.contiguous(memory_format=layout), labels

        def work() -> None:
            torch.set_num_threads(threads or CORES)
            steps = train_epoch(
                model,
                batches(),
                loss_fn,
                optimizer,
                scaler=scaler,
                autocast=lambda: torch.autocast(
                    self.device.type, torch.float16, enabled=self._on_card
                ),
                rates=rates,
                recorded=recorded,
            )
            drain(steps)
            if recorded is not None and recorded.failure:
                raise RuntimeError(f"no recording: {recorded.failure}")

        return self._timed(work)

    def _timed(self, work: Callable[[], None]) -> Side:
        def side() -> float:
            started = time.perf_counter()
            work()
            if self._on_card:
                torch.cuda.synchronize()
            return time.perf_counter() - started

        return side


def against_plain(name: str, model: str, images: int, workers: int, goal: str) -> Figure:
    """E1, E2: seconds for one training pass."""
    epochs = Epochs(model, images, workers)
    what = f"{model}, {images} images: DataLoader loop / ours, an epoch on {epochs.device.type}"
    return compare(name, what, epochs.plain(), epochs.ours(), goal=goal)


def against_airbench(name: str, model: str, images: int, goal: str) -> Figure:
    """E3: seconds for one training pass."""
    epochs = Epochs(model, images, 0)
    what = f"{model}, {images} images: airbench's loop / ours, an epoch on {epochs.device.type}"
    return compare(name, what, epochs.airbench(), epochs.ours(), goal=goal)


def among_layouts(name: str, model: str, images: int) -> list[Figure]:
    """E5: the loop as it is, by the same loop in another layout or with one thread."""
    epochs = Epochs(model, images, 0)
    others = [
        (layout, threads)
        for layout in (torch.channels_last, torch.contiguous_format)
        for threads in sorted({1, CORES})
        if (layout, threads) != (torch.channels_last, CORES)
    ]
    return [
        compare(
            name,
            f"{model}, {images} images: ours / in {layout} with {threads} threads, an epoch",
            epochs.ours(layout, threads),
            epochs.ours(),
            goal="<= 1.02",
            ours_over_other=True,
        )
        for layout, threads in others
    ]
