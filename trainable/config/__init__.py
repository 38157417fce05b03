"""The training config: every section, key and default, and the functions that load a file.

A config is a YAML mapping of the sections of `TrainConfig`. Unknown sections and keys are errors.
This module imports neither torch nor Ray, so a file is checked in well under a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from trainable.config.own_code import is_own_code
from trainable.config.schema import Items, Section, validate
from trainable.config.sections.augment import AugmentConfig, channel_problems
from trainable.config.sections.dataset import (
    ArraysDataset,
    BuiltinDataset,
    DatasetConfig,
    FileDataset,
    ImageFolderDataset,
    OwnDataset,
    SyntheticDataset,
    TableDataset,
)
from trainable.config.sections.ema import EmaConfig
from trainable.config.sections.loss import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    FocalLoss,
    KLDivLoss,
    LossConfig,
    NLLLoss,
    OwnLoss,
    PlainLoss,
    SmoothL1Loss,
)
from trainable.config.sections.metrics import (
    check_metrics,
    explain_unmeasured,
    list_scores,
    monitorable,
    stop_modes,
)
from trainable.config.sections.model import MODEL_NAMES, ModelConfig
from trainable.config.sections.optimizer import (
    AdamOptimizer,
    AdamWOptimizer,
    OptimizerConfig,
    SGDOptimizer,
)
from trainable.config.sections.output import CheckpointConfig, ProgressConfig, TensorboardConfig
from trainable.config.sections.scheduler import (
    ConstantScheduler,
    CosineScheduler,
    ExponentialScheduler,
    MultiStepScheduler,
    PlateauScheduler,
    SchedulerConfig,
    StepScheduler,
)
from trainable.config.sections.training import AmpConfig, EarlyStopping, SeedConfig, TrainingConfig
from trainable.config.yaml_reader import Document, read_yaml

__all__ = [
    "MODEL_NAMES",
    "AdamOptimizer",
    "AdamWOptimizer",
    "AmpConfig",
    "ArraysDataset",
    "AugmentConfig",
    "BCEWithLogitsLoss",
    "BuiltinDataset",
    "CheckpointConfig",
    "ConstantScheduler",
    "CosineScheduler",
    "CrossEntropyLoss",
    "DatasetConfig",
    "EarlyStopping",
    "EmaConfig",
    "ExponentialScheduler",
    "FileDataset",
    "FocalLoss",
    "ImageFolderDataset",
    "KLDivLoss",
    "LossConfig",
    "ModelConfig",
    "MultiStepScheduler",
    "NLLLoss",
    "OptimizerConfig",
    "OwnDataset",
    "OwnLoss",
    "PlainLoss",
    "PlateauScheduler",
    "ProgressConfig",
    "SGDOptimizer",
    "SchedulerConfig",
    "SeedConfig",
    "SmoothL1Loss",
    "StepScheduler",
    "SyntheticDataset",
    "TableDataset",
    "TensorboardConfig",
    "TrainConfig",
    "TrainingConfig",
    "load_config",
    "parse_config",
]


class TrainConfig(Section):
    """A complete training config, one attribute a section; immutable."""

    seed: SeedConfig = SeedConfig()
    dataset: DatasetConfig = Field(examples=[{"name": "cifar10"}])
    """Which data set, and how it is split and augmented."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes of training images besides those of `dataset.augment`."""
    model: ModelConfig
    loss: LossConfig = Field(default=CrossEntropyLoss(), examples=[{"name": "mse"}])
    """`mse` and `l1`: against one-hot targets. `bce`: binary cross-entropy on the sigmoid of the
    logits. `sqr_hinge`: squared hinge with targets -1 and +1. These four have no other keys.
    `module:callable`: [a loss of your own](#loss-with-name-modulecallable)."""
    training: TrainingConfig
    optimizer: OptimizerConfig = Field(examples=[{"name": "sgd"}])
    """`adam` adds the weight decay to the gradient, `adamw` decouples it; or
    [any other optimizer](#other-optimizers) of torch or timm, e.g. `lamb`."""
    scheduler: SchedulerConfig = Field(default=CosineScheduler(), examples=[{"name": "step"}])
    """`none`: the learning rate as it is."""
    ema: EmaConfig = EmaConfig()
    amp: AmpConfig = AmpConfig()
    tensorboard: TensorboardConfig = TensorboardConfig()
    progress: ProgressConfig = ProgressConfig()
    metrics: Items[str] = Field(
        default=(),
        examples=[["f1_macro", "top5"]],
        json_schema_extra={"x-type": "list of names"},
    )
    """Names of what every evaluation measures besides loss and accuracy."""
    checkpoint: CheckpointConfig = CheckpointConfig()

    @field_validator("metrics")
    @classmethod
    def _check_metrics(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        check_metrics(metrics)
        return metrics

    @model_validator(mode="after")
    def _check_sections_agree(self) -> TrainConfig:
        self.scheduler.check_steps()
        warmup, epochs = self.scheduler.warmup_epochs, self.training.epochs
        if warmup >= epochs:
            raise ValueError(
                f"scheduler.warmup_epochs must be below training.epochs ({epochs}), found {warmup}"
            )
        for problem in channel_problems(self.augment, self.dataset):
            raise ValueError(problem)
        parts, batch = self.training.accumulation_steps, self.training.batch_size
        if parts > batch:
            raise ValueError(
                f"training.accumulation_steps must be at most training.batch_size ({batch}), "
                f"found {parts}"
            )
        if (
            self.augment.mixes
            and isinstance(self.loss, CrossEntropyLoss | NLLLoss)
            and self.loss.ignore_index >= 0
        ):
            raise ValueError(
                "loss.ignore_index must not be a class with augment.mixup or augment.cutmix, "
                f"because a mixed image has several, found {self.loss.ignore_index}"
            )
        early = self.training.early_stopping
        watched = None if early is None else early.monitor
        if watched is not None and watched not in stop_modes(self.metrics):
            rule = explain_unmeasured(watched, self.metrics)
            raise ValueError(f"training.early_stopping.monitor: {rule}")
        monitor = self.checkpoint.monitor
        if monitor not in monitorable(self.metrics):
            raise ValueError(f"checkpoint.monitor: {explain_unmeasured(monitor, self.metrics)}")
        return self

    @property
    def own_code(self) -> list[tuple[str, str]]:
        """The keys that name code of the user's own, each with its `module:callable`."""
        names = [(f"{key}.name", getattr(self, key).name) for key in ("dataset", "model", "loss")]
        named = [(key, name) for key, name in names if is_own_code(name)]
        scores = list_scores(self.metrics)
        return named + [("metrics", score.code) for score in scores if score.code is not None]

    def to_dict(self) -> dict[str, Any]:
        """Returns the config as plain, nested values, as in `config.yaml` and checkpoints."""
        return self.model_dump(mode="json")


def parse_config(data: Any, source: str = "config") -> TrainConfig:
    """Checks a mapping of plain values against the schema.

    Args:
        data: The nested mapping, or a `Document` that knows its lines.
        source: The name of the config in error messages.

    Raises:
        ConfigError: The values break the schema; all problems are listed.
    """
    document = data if isinstance(data, Document) else Document(data, {}, source)
    return validate(TrainConfig, document)


def load_config(path: str | Path) -> TrainConfig:
    """Reads a training config from a YAML file.

    Raises:
        ConfigError: The file breaks the schema; all problems are listed with their lines.
    """
    return validate(TrainConfig, read_yaml(path))


def with_classes(config: TrainConfig, names: tuple[str, ...]) -> TrainConfig:
    """Returns a config with the names of the classes of its data, one per label."""
    dataset = config.dataset.model_copy(update={"classes": names})
    return config.model_copy(update={"dataset": dataset})


def without_cache(config: TrainConfig) -> TrainConfig:
    """Returns a config that decodes the files of its data set in every epoch, if it has files."""
    if not isinstance(config.dataset, FileDataset):
        return config
    dataset = config.dataset.model_copy(update={"cache": False})
    return config.model_copy(update={"dataset": dataset})


def halve_parts(batch_size: int, parts: int) -> int | None:
    """Returns the number of parts of about half the size that a batch can be run in.

    Args:
        batch_size: Images of the batch.
        parts: Its present number of parts, `training.accumulation_steps`.

    Returns:
        None if there are no smaller parts: each has at least two images, because of batch norm.
    """
    halved = min(2 * parts, batch_size // 2)
    return halved if halved > parts else None


def with_shape(config: TrainConfig, num_classes: int, in_channels: int) -> TrainConfig:
    """Returns a config whose model has the data's classes and channels where it sets none."""
    model = config.model
    resolved = model.model_copy(
        update={
            "num_classes": model.num_classes or num_classes,
            "in_channels": model.in_channels or in_channels,
        }
    )
    return config.model_copy(update={"model": resolved})
