"""Measures the cost of a training on a few batches; estimates a checkpoint's size from shapes."""

from __future__ import annotations

import io
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice

import torch
from torch import nn

from trainable.artifacts.checkpoint import to_cpu
from trainable.config import OptimizerConfig, TrainConfig
from trainable.data.cache.entry import PIXELS_FILE
from trainable.data.cache.memory import mapped_memory
from trainable.data.source import Batch, Split, batch_slices, prepare_training, train_slices
from trainable.errors import ExperimentError
from trainable.models import get_model_on_meta
from trainable.optim.optimizers import build_optimizer
from trainable.training.device import GIB, gpu_peak_memory_gib, limited_device, with_threads
from trainable.training.epoch import drain
from trainable.training.gpu import cuda_graphs
from trainable.training.trainer import Trainer

WARM_UP_BATCHES = 2
"""Batches before the clock starts."""
TIMED_BATCHES, TIMED_BATCHES_ON_GPU = 8, 64
"""Batches that are timed. Reading the sums after the last one costs a GPU several replays."""
TENSOR_OVERHEAD, FILE_OVERHEAD = 300, 6_000
"""Bytes that `torch.save` adds per tensor and per file, about: names, headers, plain values."""


@dataclass(frozen=True)
class TrainingCost:
    """The cost of one training."""

    device: str
    """`cpu`, or the name of the GPU."""
    parameters: int
    checkpoint_bytes: int
    setup_s: float
    """Reading the data and building the model."""
    epoch_s: float
    """Training and evaluation of one epoch, extrapolated from the timed batches."""
    peak_memory_gib: float
    """GPU memory as torch allocates it; without a GPU, the memory of this process."""


def measure_cost(
    config: TrainConfig, *, gpu: float, threads: int, allow_custom_model: bool = False
) -> TrainingCost:
    """Trains a few batches and returns what an epoch would cost; writes nothing.

    Args:
        config: Complete settings.
        gpu: The training's share of a GPU, or its number of GPUs.
        threads: The training's CPU threads.
        allow_custom_model: Whether `model.name` may import a callable of the user's.

    Raises:
        TuneSweepsError: Data, config or model cannot be used, or there is too little memory.
    """
    device = limited_device(gpu)
    started = time.perf_counter()
    trainer = Trainer(
        with_threads(config, max(1, threads)),
        device=device,
        num_workers=min(config.dataset.num_workers, threads),
        allow_custom_model=allow_custom_model,
        pretrained=False,  # the weights' values change no cost
    )
    prepare_training(trainer.source)
    setup_s = time.perf_counter() - started
    try:
        epoch_s = _measure_epoch_s(trainer)
    except torch.cuda.OutOfMemoryError as error:
        share = f"{gpu:g} of a GPU" if gpu < 1 else "a GPU"
        raise ExperimentError(
            f"{config.model.name} with batches of {config.training.batch_size} does not fit into "
            f"the memory of {share}; lower training.batch_size or raise "
            f"training.accumulation_steps (now {config.training.accumulation_steps})"
        ) from error
    file = io.BytesIO()
    torch.save(to_cpu(trainer.state_dict()), file)
    gpu_peak_gib = gpu_peak_memory_gib(device)
    return TrainingCost(
        torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        sum(parameter.numel() for parameter in trainer.model.parameters()),
        file.tell(),
        setup_s,
        epoch_s,
        _process_peak_memory_gib() if gpu_peak_gib is None else gpu_peak_gib,
    )


def estimate_size(config: TrainConfig, *, allow_custom_model: bool = False) -> tuple[int, int]:
    """Returns a model's parameters and the bytes of its checkpoint, from shapes alone.

    The bytes are right to a few percent. Nothing is computed.

    Args:
        config: Complete settings.
        allow_custom_model: Whether `model.name` may import a callable of the user's.

    Raises:
        TuneSweepsError: The model cannot be built; the text says why.
    """
    model = get_model_on_meta(config, allow_custom=allow_custom_model)
    parameters = list(model.parameters())
    copies, scalars = _count_optimizer_tensors(config.optimizer)
    weights = list(model.state_dict().values()) * (2 if config.ema.enabled else 1)
    tensors = [*weights, *parameters * copies]
    tensor_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    count = len(tensors) + len(parameters) * scalars
    total = sum(parameter.numel() for parameter in parameters)
    return total, tensor_bytes + count * TENSOR_OVERHEAD + FILE_OVERHEAD


def gpu_count() -> int:
    """Returns how many GPUs torch can use."""
    return torch.cuda.device_count()


def warm_up_batches(trainer: Trainer) -> int:
    """Returns how many batches run before the clock starts.

    With CUDA graphs the last of them is the first one that is recorded.
    """
    return WARM_UP_BATCHES if trainer.graphs is None else cuda_graphs.WARM_UP + 1


def timed_batches(trainer: Trainer) -> int:
    """Returns how many batches run between two readings of the clock."""
    return TIMED_BATCHES_ON_GPU if trainer.device.type == "cuda" else TIMED_BATCHES


def endless_batches(trainer: Trainer) -> Iterator[Batch]:
    """Yields training batches, one pass after the other."""
    seed = 0
    while True:
        yield from trainer.train_batches(seed=seed, epoch=1)
        seed += 1


def train(trainer: Trainer, batches: Iterator[Batch]) -> None:
    """Trains on some batches and waits for the device."""
    drain(trainer.train_on(batches))


def _measure_epoch_s(trainer: Trainer) -> float:
    training, source = trainer.config.training, trainer.source
    batches = len(train_slices(source.size("train"), training.batch_size))
    epoch_s = batches * _measure_batch_s(trainer, batches)
    passes_per_epoch: dict[Split, float] = {"test": 1.0}
    if source.has_val:
        passes_per_epoch = {"val": 1.0, "test": 1 / training.test_frequency}
    size = training.batch_size // training.accumulation_steps
    warm_up, timed = warm_up_batches(trainer), timed_batches(trainer)
    for split, passes in passes_per_epoch.items():
        count = len(batch_slices(source.size(split), size))
        drain(trainer.score_on(islice(cycle(source.eval_batches(split, size)), warm_up)))
        started = time.perf_counter()
        drain(trainer.score_on(islice(source.eval_batches(split, size), timed)))
        epoch_s += passes * count * (time.perf_counter() - started) / min(count, timed)
    return epoch_s


def _measure_batch_s(trainer: Trainer, batches: int) -> float:
    """Returns the seconds of a training batch; a pass that ends early is begun again."""
    stream = endless_batches(trainer)
    train(trainer, islice(stream, warm_up_batches(trainer)))
    count = max(1, min(timed_batches(trainer), batches))
    started = time.perf_counter()
    train(trainer, islice(stream, count))
    return (time.perf_counter() - started) / count


def _process_peak_memory_gib() -> float:
    """Returns the peak memory without the decoded images, which all processes share."""
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (kib * 1024 - mapped_memory(PIXELS_FILE)) / GIB


def _count_optimizer_tensors(config: OptimizerConfig) -> tuple[int, int]:
    """Returns, per parameter, the state's tensors of the parameter's shape and its other ones.

    They are counted after a step on a small weight.
    """
    weight = nn.Parameter(torch.zeros(4, 4))
    optimizer = build_optimizer(config, [weight], torch.device("cpu"))
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    values = [v for v in optimizer.state[weight].values() if isinstance(v, torch.Tensor)]
    shaped = sum(value.shape == weight.shape for value in values)
    return shaped, len(values) - shaped
