"""E1 to E3: other loops on the same data, model, batch and precision; E5: layouts and threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn
from torch.utils.data import DataLoader

from tests.benchmarks.airbench import AirbenchLoader, airbench_loop, in_low_precision
from tests.benchmarks.launches import AMP_DTYPE, COMPILED, EAGER, Launch, launches
from tests.benchmarks.loader import MEAN, STD, PlainDataset, cifar_like, source_of
from tests.benchmarks.sides import (
    ROUNDS,
    Figure,
    NeedsCudaError,
    Side,
    Variant,
    compare,
    compare_variants,
)
from trainable.artifacts.checkpoint import to_cpu
from trainable.config import TrainConfig, parse_config
from trainable.models import get_model
from trainable.training.device import default_device
from trainable.training.epoch import drain
from trainable.training.trainer import Trainer

BATCH = 128
RATE, MOMENTUM = 0.05, 0.9
CORES = torch.get_num_threads()


def config_of(model: str, launch: Launch = EAGER) -> TrainConfig:
    """Builds a config of CIFAR-10's shapes, trained by SGD with Nesterov momentum.

    Args:
        model: Its name.
        launch: How steps are launched.
    """
    optimizer = {"name": "sgd", "learning_rate": RATE, "momentum": MOMENTUM, "nesterov": True}
    return parse_config(
        {
            # The images come from `source_of`, the same for every side.
            "dataset": {"name": "synthetic", "num_train": BATCH, "num_test": 1},
            "model": {"name": model, "num_classes": 10, "in_channels": 3},
            "training": {"epochs": 10, "batch_size": BATCH, **launch.settings()},
            "optimizer": optimizer,
            "amp": {"enabled": torch.cuda.is_available(), "dtype": "bfloat16"},
        }
    )


def plain_loop(model: nn.Module, loader: DataLoader, device: torch.device) -> None:
    """Trains an epoch as tutorials do: a DataLoader, autocast, a look at each loss."""
    optimizer = torch.optim.SGD(model.parameters(), RATE, momentum=MOMENTUM, nesterov=True)
    loss_of, total = nn.CrossEntropyLoss(), 0.0
    model.train()
    for images, labels in loader:
        images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, AMP_DTYPE, enabled=device.type == "cuda"):
            loss = loss_of(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()


class Epochs:
    """Sides that train one epoch over the same images.

    Args:
        model: Its name.
        images: How many; random ones of CIFAR's shape.
        workers: Processes of the DataLoader.
    """

    def __init__(self, model: str, images: int, workers: int) -> None:
        self.device = default_device()
        self._on_gpu = self.device.type == "cuda"
        self._model = model
        self._pixels, self._labels = cifar_like(images)
        self._workers = workers
        torch.backends.cudnn.benchmark = True

    def plain(self) -> Side:
        """A DataLoader that prepares one PIL image after the other."""
        loader = DataLoader(
            PlainDataset(self._pixels, self._labels),
            batch_size=BATCH,
            shuffle=True,
            num_workers=self._workers,
            pin_memory=self._on_gpu,
            persistent_workers=self._workers > 0,
        )
        model = get_model(config_of(self._model)).to(self.device)
        return self._timed(lambda: plain_loop(model, loader, self.device))

    def airbench(self) -> Side:
        """Everything on the device, eager; see `airbench.py`."""
        model = get_model(config_of(self._model)).to(self.device)
        dtype = AMP_DTYPE if self._on_gpu else torch.float32
        model = in_low_precision(model, dtype) if self._on_gpu else model
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
        self,
        launch: Launch = EAGER,
        layout: torch.memory_format = torch.channels_last,
        threads: int = CORES,
    ) -> Side:
        """Our training loop.

        Args:
            launch: How steps are launched.
            layout: Of images and weights; ours unless given.
            threads: On a CPU.
        """
        source = source_of(self._pixels, self._labels, self.device)
        trainer = Trainer(config_of(self._model, launch), device=self.device)
        if layout is not torch.channels_last:
            trainer.model.to(memory_format=layout)
            # Loaded anew, the optimizer's buffers take on the layout of the weights.
            trainer.load_state_dict(to_cpu(trainer.state_dict()))

        def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            for images, labels in source.train_batches(BATCH, seed=1):
                yield images.contiguous(memory_format=layout), labels

        def work() -> None:
            torch.set_num_threads(threads)
            drain(trainer.train_on(batches()))
            launch.check(trainer)

        return self._timed(work)

    def variants(self, ways: Sequence[Launch], goal: str) -> list[Variant]:
        """Our training loop in several launches; the goal is not the eager one's on a GPU.

        Args:
            ways: The launches.
            goal: For the table.
        """
        return [
            Variant(
                launch.label,
                self.ours(launch),
                "(eager)" if self._on_gpu and launch == EAGER else goal,
            )
            for launch in ways
        ]

    def _timed(self, work: Callable[[], None]) -> Side:
        def side() -> float:
            started = time.perf_counter()
            work()
            if self._on_gpu:
                torch.cuda.synchronize()
            return time.perf_counter() - started

        return side


def _ways(*, compiled: bool) -> list[Launch]:
    if not compiled:
        return launches()
    if not torch.cuda.is_available():
        raise NeedsCudaError
    return [COMPILED]


def against_plain(
    name: str,
    model: str,
    images: int,
    workers: int,
    goal: str,
    *,
    rounds: int = ROUNDS,
    compiled: bool = False,
) -> list[Figure]:
    """E1, E2: seconds for one training pass, by those of a DataLoader's loop.

    Args:
        name: The benchmark's id.
        model: Its name.
        images: How many.
        workers: Processes of the DataLoader.
        goal: For the table.
        rounds: That count.
        compiled: Whether ours is compiled, besides; otherwise recorded and eager are shown.
    """
    ways = _ways(compiled=compiled)
    epochs = Epochs(model, images, workers)
    what = f"{model}, {images} images: DataLoader loop / ours, an epoch on {epochs.device.type}"
    variants = epochs.variants(ways, goal)
    return compare_variants(name, what, epochs.plain(), variants, rounds=rounds)


def against_airbench(
    name: str,
    images: int,
    goals: dict[str, str],
    *,
    rounds: int = ROUNDS,
    compiled: bool = False,
) -> list[Figure]:
    """E3: seconds for one training pass, by those of a loop after airbench's design.

    Args:
        name: The benchmark's id.
        images: How many.
        goals: By the model's name, for the table.
        rounds: That count.
        compiled: See `against_plain`.
    """
    ways = _ways(compiled=compiled)
    figures = []
    for model, goal in goals.items():
        epochs = Epochs(model, images, 0)
        what = f"{model}, {images} images: airbench loop / ours, an epoch on {epochs.device.type}"
        variants = epochs.variants(ways, goal)
        figures += compare_variants(name, what, epochs.airbench(), variants, rounds=rounds)
    return figures


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
            epochs.ours(layout=layout, threads=threads),
            epochs.ours(),
            goal="<= 1.02",
            ours_over_other=True,
        )
        for layout, threads in others
    ]
