"""`Trainer`: the whole state of one training, which it builds, advances, saves and loads.

It knows nothing of directories, Ray and sweeps. A process can have several trainers, one after
another; none depends on the state that an earlier one left.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable
from typing import Any

import torch

from trainable.augment.mixing import augment_batches
from trainable.augment.streams import stream_seed
from trainable.config import OwnLoss, TrainConfig, with_classes
from trainable.data.loading import load_data
from trainable.data.shapes import refuse_other_classes
from trainable.data.source import ImageSource, Split, start_epoch, train_slices
from trainable.data.splits.record import SplitRecord
from trainable.features.cached import FeatureCache
from trainable.metrics.best_epoch import BestEpoch
from trainable.metrics.collector import MetricCollector
from trainable.models import MODELS, get_model
from trainable.models.pretrained import resolve, with_source
from trainable.optim.clipping import build_clipping
from trainable.optim.frozen import FrozenParts
from trainable.optim.lr_schedule import LRSchedule
from trainable.optim.optimizers import build_optimizer
from trainable.training.device import (
    default_device,
    gpu_peak_memory_gib,
    leave_default_stream,
    set_threads,
    with_index,
    with_process_threads,
)
from trainable.training.ema import WeightAverage
from trainable.training.epoch import (
    Batches,
    MetricsOfPass,
    Score,
    Steps,
    class_columns,
    drain,
    evaluate,
    evaluation_columns,
    train_epoch,
)
from trainable.training.gpu.compiled_model import CompiledModel, should_compile
from trainable.training.gpu.cuda_graphs import (
    RECORDED,
    CudaGraphs,
    CudaRecorder,
    Recorder,
    graph_refusal,
)
from trainable.training.gpu.replay_checks import ReplayChecks
from trainable.training.losses import build_loss
from trainable.training.notices import describe_differences, describe_execution
from trainable.training.sampling import draw_balanced
from trainable.training.saved_split import check_numbers
from trainable.training.seeding import seed_everything, set_determinism
from trainable.training.step import EvaluationStep, TrainStep
from trainable.training.stopping import StopRules
from trainable.training.trainer_state import check_saveable, collect_state, restore_state

Row = dict[str, Any]
"""One epoch's metrics: plain numbers and strings, None for what was not measured."""


class Trainer:
    """One training: model, data, optimizer, lr schedule, loss scaler and position.

    Args:
        config: Complete settings.
        device: The device to train on; by default the GPU if there is one.
        num_workers: Loader processes for data that does not fit in memory.
        allow_custom_model: Whether `model.name` may import a callable of the user's.
        split: The split of a training that continues (`saved_split`); None draws one.
        pretrained: Whether the model gets the weights that `model.pretrained` names. A caller that
            loads a checkpoint next does not need them.

    Raises:
        DataError: The data set is missing or cannot be loaded, or does not fit the split.
        ConfigError: The config does not fit the data set.
        ModelError: No checkpoint could hold the state of the custom model.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        device: torch.device | None = None,
        num_workers: int = 0,
        allow_custom_model: bool = False,
        split: SplitRecord | None = None,
        pretrained: bool = True,
    ) -> None:
        self.device = with_index(device) if device else default_device()
        is_on_gpu = self.device.type == "cuda"
        if is_on_gpu:
            leave_default_stream(self.device)
        config = resolve(config)
        self.source: ImageSource = load_data(
            config.dataset,
            self.device,
            num_workers=num_workers,
            split=split,
            allow_custom=allow_custom_model,
        )
        refuse_other_classes(config.dataset, self.source.class_names)
        config = with_process_threads(with_classes(config, self.source.class_names))
        self.config = with_source(config, self.source)
        check_numbers(self.config, self.source, split)
        self.epoch = 0
        self.best = BestEpoch(config)
        self.idle_s = 0.0
        """Seconds that the current epoch has waited, between its start and being asked for."""
        self._diverged = False
        self._improved = False
        self._last_peak_memory_gib = 0.0
        self.seed = config.seed.value if config.seed.enabled else secrets.randbits(63)
        self._prepare_process()
        seed_everything(stream_seed(self.seed, 0))
        self.model = get_model(self.config, allow_custom=allow_custom_model, pretrained=pretrained)
        check_saveable(self.config, self.model, has_run=False)
        self.model.to(self.device).to(memory_format=torch.channels_last)  # in place
        self.optimizer = build_optimizer(config.optimizer, self.model, device=self.device)
        self.schedule = LRSchedule(
            self.optimizer,
            config.scheduler,
            base_lr=config.optimizer.learning_rate,
            epochs=config.training.epochs,
            steps_per_epoch=self._count_steps(),
        )
        self.frozen = FrozenParts(self.model, self.config.model)
        self.stopping = StopRules(self.config)
        self._build_steps(allow_custom=allow_custom_model)
        self.graphs: CudaGraphs | None = None
        self._graph_refusal = graph_refusal(config, self.device, self._count_full_batches())
        if self._graph_refusal is None:
            self.record_with(CudaRecorder(self.device))
        if is_on_gpu:
            torch.cuda.synchronize(self.device)  # other streams may read the data set next

    def _prepare_process(self) -> None:
        """Sets what earlier trainings of the process may have set otherwise."""
        set_determinism(self.config.seed.deterministic)
        set_threads(self.config.seed.threads)

    def _build_steps(self, *, allow_custom: bool) -> None:
        config, on_gpu = self.config, self.device.type == "cuda"
        num_classes = config.model.num_classes or self.source.num_classes
        loss_fn = build_loss(
            config.loss,
            num_classes,
            class_counts=torch.bincount(self.source.train_labels),
            allow_custom=allow_custom,
        ).to(self.device)
        self.average = WeightAverage(self.model, config.ema) if config.ema.enabled else None
        evaluated = self.model if self.average is None else self.average.model
        amp = config.amp.enabled and on_gpu
        amp_dtype: torch.dtype | None = getattr(torch, config.amp.dtype) if amp else None
        self.compiled: CompiledModel | None = None
        forward: CompiledModel | None = None
        if should_compile(config, self.device, self._count_full_batches()):
            size = config.training.batch_size // config.training.accumulation_steps
            self.compiled = CompiledModel(self.model, size)
            forward = CompiledModel(evaluated, size) if self.average else self.compiled
        self.train_step = TrainStep(
            self.model,
            loss_fn,
            self.optimizer,
            amp_dtype=amp_dtype,
            accumulation_steps=config.training.accumulation_steps,
            forward=self.compiled,
        )
        self.evaluation_step = EvaluationStep(evaluated, loss_fn, amp_dtype, forward)
        self.metrics: MetricCollector | None = None
        if config.metrics:
            self.metrics = MetricCollector(
                config.metrics, num_classes, self.device, allow_custom=allow_custom
            )
            self.evaluation_step.keep_logits(num_classes)
        self.train_step.schedule, self.train_step.frozen = self.schedule, self.frozen
        self.train_step.clip = build_clipping(config.training.clip_grad, self.model)
        self.scaler = self.train_step.scaler
        self.features = FeatureCache(
            config, self.source, self.train_step, self.evaluation_step, amp_dtype
        )

    def _count_steps(self) -> int:
        """Returns the number of steps of an epoch."""
        return len(train_slices(self.source.size("train"), self.config.training.batch_size))

    def _count_full_batches(self) -> int:
        """Returns the number of full batches of the whole training."""
        training = self.config.training
        return training.epochs * (self.source.size("train") // training.batch_size)

    def record_with(self, recorder: Recorder) -> None:
        """Records and replays steps from now on.

        Args:
            recorder: The recorder for the training's device.
        """
        checks = None
        if self.config.model.name not in MODELS or isinstance(self.config.loss, OwnLoss):
            in_half = self.train_step.amp_dtype is not None
            checks = ReplayChecks(self.model, self.optimizer, self.scaler, in_half=in_half)
        self.graphs = CudaGraphs(
            self.train_step,
            self.evaluation_step,
            self.config.training.batch_size,
            recorder,
            checks,
        )

    @property
    def done(self) -> bool:
        """Whether every epoch of the config has been completed."""
        return self.epoch >= self.config.training.epochs

    @property
    def ended(self) -> bool:
        """Whether nothing is left to train: it is done, or a rule of `training` has ended it."""
        return self.done or self.stopping.stop is not None

    @property
    def improved(self) -> bool:
        """Whether the last epoch is the best so far."""
        return self._improved

    @property
    def diverged(self) -> bool:
        """Whether a loss of the last epoch was not finite."""
        return self._diverged

    @property
    def graph_status(self) -> str:
        """`recorded` if training steps are replayed as a CUDA graph, otherwise the reason."""
        return self.graphs.status if self.graphs else self._graph_refusal or ""

    @property
    def execution_notes(self) -> list[str]:
        """Lines for the log on how steps are executed: CUDA graph, compiled model."""
        return describe_execution(self)

    @property
    def notices(self) -> list[str]:
        """Lines for the user on how this training differs from the config."""
        return describe_differences(self)

    def run_epoch(self, on_batch: Callable[[int], None] | None = None) -> Row:
        """Trains and evaluates the next epoch.

        Args:
            on_batch: Called with the number of images after every training batch.

        Returns:
            The epoch's metrics. Accuracies are fractions in [0, 1], losses means per image, times
            seconds. `val_*` are the metrics that decide: those of the validation split, or of the
            test set if there is no such split.
        """
        return drain(self.epoch_steps(), on_batch)

    def epoch_steps(self) -> Steps[Row]:
        """Runs the next epoch as `run_epoch` does, but step by step."""
        started, self.idle_s = time.perf_counter(), 0.0
        epoch, lr = self.epoch + 1, self.schedule.lr
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._prepare_process()
        has_changed = self.frozen.start_epoch(epoch), self.features.start_epoch()
        if any(has_changed) and self.graphs is not None:
            self.graphs.forget()
        seed = stream_seed(self.seed, epoch)
        seed_everything(seed)
        train = yield from self.train_on(self.train_batches(seed=seed, epoch=epoch))
        trained_s = self._elapsed_s(started)
        val, test = yield from self._evaluate(epoch, train, started)
        self._diverged = not (math.isfinite(train.loss) and math.isfinite(val.loss))
        evaluated = evaluation_columns(val, test)
        self._complete_epoch(epoch, evaluated)
        epoch_s = self._elapsed_s(started)
        self.stopping.add_seconds(epoch_s)
        return {
            "epoch": epoch,
            "train_loss": train.loss,
            "train_acc": train.acc,
            **evaluated,
            **self.best.columns,
            "lr": lr,
            "epoch_s": epoch_s,
            "images_per_s": self.source.size("train") / trained_s,
            "peak_memory_gib": self._measure_peak_memory_gib(),
            "device": self.device.type,
            "cuda_graph": self.graph_status,
            **self.stopping.columns,
            **class_columns(val, test),
        }

    def _elapsed_s(self, started: float) -> float:
        """Returns the seconds since the start of an epoch in which it was not idle."""
        return time.perf_counter() - started - self.idle_s

    def state_dict(self) -> dict[str, Any]:
        """Returns the content of a checkpoint; its tensors are the live ones.

        Raises:
            ModelError: No checkpoint can hold the state of the custom model.
        """
        return collect_state(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a checkpoint; every hyperparameter stays that of this training's config.

        Args:
            state: As `checkpoint.read_checkpoint` returns it.

        Raises:
            CheckpointError: The state belongs to another model or optimizer.
        """
        self.features.reset()
        restore_state(self, state)
        self._diverged = self._improved = False

    def _evaluate(
        self, epoch: int, train: Score, started: float
    ) -> Steps[tuple[Score, Score | None]]:
        """Decides whether the training ends; its last epoch looks at the test set, too.

        Returns:
            The score that decides, and the test set's if it is due in this epoch.
        """
        val = yield from self._score_split("val" if self.source.has_val else "test")
        trained = {"train_loss": train.loss, "train_acc": train.acc}
        values = trained | evaluation_columns(val, None)
        self.stopping.observe(epoch, values, self._elapsed_s(started))
        if not self.source.has_val:
            return val, val
        is_last = epoch == self.config.training.epochs or self.stopping.stop is not None
        if not is_last and epoch % self.config.training.test_frequency != 0:
            return val, None
        return val, (yield from self._score_split("test"))

    def score(self, split: Split) -> Score:
        """Scores the present model on a whole split."""
        return drain(self._score_split(split))

    def train_batches(self, *, seed: int, epoch: int) -> Batches:
        """Returns the batches of a training pass, augmented.

        Args:
            seed: Seed of the pass.
            epoch: Number of the epoch, which can end parts of `augment`.
        """
        augment, size = self.config.augment, self.config.training.batch_size
        is_balanced = self.config.training.sampler == "balanced"
        order = draw_balanced(self.source.train_labels, seed=seed) if is_balanced else None
        if self.features.is_active:
            return self.features.train_batches(epoch, seed=seed, order=order)
        start_epoch(self.source, epoch)
        batches = self.source.train_batches(size, seed=seed, augment=augment, order=order)
        num_classes = self.config.model.num_classes or self.source.num_classes
        return augment_batches(batches, augment, num_classes, seed=seed, epoch=epoch)

    def train_on(self, batches: Batches) -> Steps[Score]:
        """Trains on some batches; see `train_epoch`."""
        graph = self.graphs.training if self.graphs else None
        return train_epoch(self.train_step, batches, graph, self.average)

    def score_on(self, batches: Batches, metrics: MetricsOfPass | None = None) -> Steps[Score]:
        """Scores the present model on some batches; see `evaluate`."""
        graph = self.graphs.evaluation if self.graphs else None
        return evaluate(self.evaluation_step, batches, graph, metrics)

    def _score_split(self, split: Split) -> Steps[Score]:
        training = self.config.training
        size = training.batch_size // training.accumulation_steps
        source = self.features if self.features.is_active else self.source
        metrics = MetricsOfPass(self.metrics, self.source.size(split)) if self.metrics else None
        return self.score_on(source.eval_batches(split, size), metrics)

    def _complete_epoch(self, epoch: int, metrics: Row) -> None:
        self.epoch = epoch
        self._improved = not self._diverged and self.best.add(epoch, metrics)
        self.schedule.step(*self.best.plateau_values(metrics))

    def _measure_peak_memory_gib(self) -> float | None:
        """Returns the peak of this epoch, or of an earlier one: replays allocate no memory."""
        peak = gpu_peak_memory_gib(self.device)
        if peak is not None and self.graph_status == RECORDED:
            peak = max(peak, self._last_peak_memory_gib)
        self._last_peak_memory_gib = peak or 0.0
        return peak
