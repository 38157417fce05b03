"""What a training costs, measured on a few of its batches."""

from __future__ import annotations

import io
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice

import torch

from trainable.artifacts.checkpoint import to_cpu
from trainable.config import TrainConfig
from trainable.data.source import Batch, Split, batch_slices, train_slices
from trainable.errors import ExperimentError
from trainable.training import cuda_graphs
from trainable.training.device import limited_device
from trainable.training.epoch import drain
from trainable.training.trainer import GIB, Trainer

WARM_UP = 2
"""Batches before the clock starts."""
TIMED, TIMED_ON_GPU = 8, 64
"""Batches that are timed. Reading the sums at their end costs a GPU several replays."""


@dataclass(frozen=True)
class Measured:
    """The cost of one training."""

    device: str
    """`cpu`, or the name of the card."""
    parameters: int
    checkpoint_bytes: int
    setup_s: float
    """Reading the data and building the model."""
    epoch_s: float
    """Training and evaluation of one epoch, from the timed batches."""
    peak_memory_gib: float
    """Of the card, as torch allocates it; without one, of this process."""


def measure(
    config: TrainConfig, *, gpu: float, threads: int, allow_custom_model: bool = False
) -> Measured:
    """Trains a few batches and tells what an epoch would cost; nothing is written.

    Args:
        config: Complete settings.
        gpu: The share of a card, or the cards, that the training is to have.
        threads: The same of the CPU.
        allow_custom_model: Whether `model.name` may import a callable of the user's.

    Raises:
        TuneSweepsError: Data, config or model do not serve, or memory does not suffice.
    """
    device = limited_device(gpu)
    torch.set_num_threads(max(1, threads))
    started = time.perf_counter()
    trainer = Trainer(
        config,
        device=device,
        num_workers=min(config.dataset.num_workers, threads),
        allow_custom_model=allow_custom_model,
    )
    setup_s = time.perf_counter() - started
    try:
        epoch_s = _epoch_s(trainer)
    except torch.cuda.OutOfMemoryError as error:
        part = f"{gpu:g} of a card" if gpu < 1 else "a card"
        raise ExperimentError(
            f"{config.model.name} with batches of {config.training.batch_size} does not fit into "
            f"the memory of {part}"
        ) from error
    file = io.BytesIO()
    torch.save(to_cpu(trainer.state_dict()), file)
    return Measured(
        torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        sum(parameter.numel() for parameter in trainer.model.parameters()),
        file.tell(),
        setup_s,
        epoch_s,
        _peak_memory_gib(device),
    )


def cards() -> int:
    """How many cards torch finds."""
    return torch.cuda.device_count()


def _epoch_s(trainer: Trainer) -> float:
    training, source = trainer.config.training, trainer.source
    batches = len(train_slices(source.size("train"), training.batch_size))
    pass_s = batches * _batch_s(trainer, batches)
    looks: dict[Split, float] = {"test": 1.0}
    if source.has_val:
        looks = {"val": 1.0, "test": 1 / training.test_frequency}
    size = training.batch_size // training.accumulation_steps
    for split, often in looks.items():
        parts = len(batch_slices(source.size(split), size))
        drain(trainer.score_on(islice(cycle(source.eval_batches(split, size)), warm_up(trainer))))
        started = time.perf_counter()
        drain(trainer.score_on(islice(source.eval_batches(split, size), timed(trainer))))
        pass_s += often * parts * (time.perf_counter() - started) / min(parts, timed(trainer))
    return pass_s


def _batch_s(trainer: Trainer, batches: int) -> float:
    """Seconds a training batch; what is left of a short pass is begun anew."""
    stream = endless(trainer)
    train(trainer, islice(stream, warm_up(trainer)))
    count = max(1, min(timed(trainer), batches))
    started = time.perf_counter()
    train(trainer, islice(stream, count))
    return (time.perf_counter() - started) / count


def warm_up(trainer: Trainer) -> int:
    """Batches before the clock starts; the last of them is the first to be recorded."""
    return WARM_UP if trainer.graphs is None else cuda_graphs.WARM_UP + 1


def timed(trainer: Trainer) -> int:
    """Returns how many batches are timed between two looks at the clock."""
    return TIMED_ON_GPU if trainer.device.type == "cuda" else TIMED


def endless(trainer: Trainer) -> Iterator[Batch]:
    """Training batches, one pass after the other."""
    seed = 0
    while True:
        yield from trainer.source.train_batches(trainer.config.training.batch_size, seed=seed)
        seed += 1


def train(trainer: Trainer, batches: Iterator[Batch]) -> None:
    """Trains on some batches; reading the sums at its end waits for the device."""
    drain(trainer.train_on(batches))


def _peak_memory_gib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib * 1024 / GIB
