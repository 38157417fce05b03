"""The training config: every section, key and default, and how a file becomes one.

A config is a YAML mapping of the sections of `TrainConfig`. Unknown sections and keys are errors.
This module imports neither torch nor Ray, so a file is checked in well under a second.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from trainable.config.components import (
    AdamOptimizer,
    AdamWOptimizer,
    BCEWithLogitsLoss,
    BuiltinDataset,
    ConstantScheduler,
    CosineScheduler,
    CrossEntropyLoss,
    DatasetConfig,
    ExponentialScheduler,
    ImageFolderDataset,
    KLDivLoss,
    LossConfig,
    MultiStepScheduler,
    NLLLoss,
    OptimizerConfig,
    PlainLoss,
    PlateauScheduler,
    SchedulerConfig,
    SGDOptimizer,
    SmoothL1Loss,
    StepScheduler,
    SyntheticDataset,
)
from trainable.config.names import check_directory_name, check_name
from trainable.config.schema import Section, validate
from trainable.config.yaml_reader import Document, read_yaml
from trainable.uri import as_place

__all__ = [
    "MODEL_NAMES",
    "AdamOptimizer",
    "AdamWOptimizer",
    "AmpConfig",
    "BCEWithLogitsLoss",
    "BuiltinDataset",
    "CheckpointConfig",
    "ConstantScheduler",
    "CosineScheduler",
    "CrossEntropyLoss",
    "DatasetConfig",
    "ExponentialScheduler",
    "ImageFolderDataset",
    "KLDivLoss",
    "LossConfig",
    "ModelConfig",
    "MultiStepScheduler",
    "NLLLoss",
    "OptimizerConfig",
    "PlainLoss",
    "PlateauScheduler",
    "ProgressConfig",
    "SGDOptimizer",
    "SchedulerConfig",
    "SeedConfig",
    "SmoothL1Loss",
    "StepScheduler",
    "SyntheticDataset",
    "TensorboardConfig",
    "TrainConfig",
    "TrainingConfig",
    "load_config",
    "parse_config",
]

MODEL_NAMES = (
    "cnv", "mobilenetv1", "resnet101", "resnet110", "resnet152", "resnet18", "resnet20",
    "resnet32", "resnet34", "resnet44", "resnet50", "resnet56", "vgg11", "vgg13", "vgg16", "vgg19",
)  # fmt: skip
"""Built-in models; a contract test holds this equal to `trainable.models.list_models()`."""


class SeedConfig(Section):
    """`seed`: what makes a run repeatable."""

    enabled: bool = False
    """Seed Python, NumPy and torch. When false a seed is drawn; the checkpoint records it."""
    value: int = Field(default=42, ge=0, lt=2**63)
    deterministic: bool = False
    """Deterministic algorithms: bit-equal reruns, slower."""


class ModelConfig(Section):
    """`model`: the architecture."""

    name: str
    """One of the built-in models, or `module:callable` for one of your own."""
    num_classes: int | None = Field(default=None, ge=2)
    """Null means the data set's."""
    in_channels: PositiveInt | None = None
    """Null means the data set's."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if ":" not in name:
            return check_name(name, MODEL_NAMES)
        if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", name):
            raise ValueError(f'must be a built-in model or module:callable, found "{name}"')
        return name


class TrainingConfig(Section):
    """`training`: how long and in what batches."""

    batch_size: PositiveInt = 128
    """Images a batch, in training and evaluation."""
    epochs: PositiveInt
    """Total epochs."""
    test_frequency: PositiveInt = 10
    """With a `dataset.val_split`: epochs between looks at the test set."""
    accumulation_steps: PositiveInt = 1
    """Each batch is run in this many equal parts whose gradients are added up: same batch
    arithmetic but for batch norm, less memory."""
    cuda_graph: Literal["auto"] | bool = "auto"
    """Record a step once on a GPU and replay it, instead of launching each kernel. `auto` does so
    for built-in models where it pays; `true` also tries a model of your own."""
    compile: Literal["auto"] | bool = False
    """Compile the model with `torch.compile`, about a minute for the first trial of a worker;
    `auto` does so only on a GPU and for trainings that are long enough to gain from it."""


class AmpConfig(Section):
    """`amp`: mixed precision, on CUDA only."""

    enabled: bool = False
    dtype: Literal["bfloat16", "float16"] = "bfloat16"
    """float16 scales the loss; bfloat16 needs no scaling."""


class TensorboardConfig(Section):
    """`tensorboard`: event files."""

    enabled: bool = False
    log_dir: str = "./runs"
    """Used when checkpoints are off; else the experiment's own `tensorboard/`."""


class ProgressConfig(Section):
    """`progress`: progress bars."""

    enabled: bool = True


class CheckpointConfig(Section):
    """`checkpoint`: what is saved, where, and what is resumed."""

    enabled: bool = False
    dir: str = "./experiments"
    """Base directory, relative to the working directory, or an address in object storage such as
    `s3://bucket/experiments`."""
    experiment_name: str = ""
    """Empty means `{model}_{dataset}_{timestamp}`."""
    save_frequency: PositiveInt = 10
    """Epochs between `epoch_NNNN.pt` files."""
    save_best: bool = True
    """Keep `best.pt`, the state of the best accuracy so far."""
    resume: str | None = None
    """A `.pt` file to continue from: a path, or an address in object storage."""

    @field_validator("dir")
    @classmethod
    def _place(cls, path: str) -> str:
        return as_place(path)

    @field_validator("experiment_name", mode="before")
    @classmethod
    def _auto(cls, name: Any) -> Any:
        return "" if name is None else name

    @field_validator("experiment_name")
    @classmethod
    def _one_directory(cls, name: str) -> str:
        return check_directory_name(name) if name else name

    @field_validator("resume")
    @classmethod
    def _empty_is_none(cls, path: str | None) -> str | None:
        return as_place(path) if path else None


class TrainConfig(Section):
    """A complete training config, one attribute a section; immutable."""

    seed: SeedConfig = SeedConfig()
    dataset: DatasetConfig
    model: ModelConfig
    loss: LossConfig = CrossEntropyLoss()
    training: TrainingConfig
    optimizer: OptimizerConfig
    scheduler: SchedulerConfig = CosineScheduler()
    amp: AmpConfig = AmpConfig()
    tensorboard: TensorboardConfig = TensorboardConfig()
    progress: ProgressConfig = ProgressConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()

    @model_validator(mode="after")
    def _sections_agree(self) -> TrainConfig:
        warmup, epochs = self.scheduler.warmup_epochs, self.training.epochs
        if warmup >= epochs:
            raise ValueError(
                f"scheduler.warmup_epochs must be below training.epochs ({epochs}), found {warmup}"
            )
        parts, batch = self.training.accumulation_steps, self.training.batch_size
        if batch % parts:
            raise ValueError(
                f"training.accumulation_steps must divide training.batch_size ({batch}), "
                f"found {parts}"
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """The config as plain, nested values: what `config.yaml` and a checkpoint hold."""
        return self.model_dump(mode="json")


def parse_config(data: Any, source: str = "config") -> TrainConfig:
    """Checks a mapping of plain values against the schema.

    Args:
        data: The nested mapping, or a `Document` that knows its lines.
        source: What error messages call it.

    Raises:
        ConfigError: With every problem at once.
    """
    document = data if isinstance(data, Document) else Document(data, {}, source)
    return validate(TrainConfig, document)


def load_config(path: str | Path) -> TrainConfig:
    """Reads a training config from a YAML file.

    Raises:
        ConfigError: With every problem of the file at once, each with its line.
    """
    return validate(TrainConfig, read_yaml(path))


def with_shape(config: TrainConfig, num_classes: int, in_channels: int) -> TrainConfig:
    """A config whose model has the classes and channels of the data where it names none."""
    model = config.model
    resolved = model.model_copy(
        update={
            "num_classes": model.num_classes or num_classes,
            "in_channels": model.in_channels or in_channels,
        }
    )
    return config.model_copy(update={"model": resolved})
