"""The training config: every section, key and default, and the functions that load a file.

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
from trainable.config.own_code import is_own_code
from trainable.config.schema import Section, UserPath, validate
from trainable.config.yaml_reader import Document, read_yaml
from trainable.uri import normalize_directory

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

    enabled: bool = Field(default=False, examples=[True])
    """Seed Python, NumPy and torch. Where false a seed is drawn and kept in the checkpoints, so
    that a resume continues the same run."""
    value: int = Field(default=42, ge=0, lt=2**63, examples=[7])
    """The seed. Each epoch's data order, crops and flips follow from it and the epoch's number
    alone."""
    deterministic: bool = Field(default=False, examples=[True])
    """Deterministic algorithms: bit-equal reruns, slower."""
    threads: PositiveInt | None = Field(default=None, examples=[1])
    """CPU threads; sums over several differ in their last bits. `null`: `resources.cpu` in a
    sweep, else one per core. Under `deterministic`, `config.yaml` and checkpoints have the number
    that was used, and a training from them uses it again."""


class ModelConfig(Section):
    """`model`: the architecture."""

    name: str = Field(examples=["resnet18"])
    """A built-in model, or `module:callable` for one of your own: called with the keywords
    `num_classes` and `in_channels`, it returns a `torch.nn.Module`. Its module is looked for in
    the working directory and beside the file. That runs your code, so the command line must allow
    it: `--allow-custom-model`. Before a training or a sweep it is run once on two images: it must
    return logits `[2, num_classes]`."""
    num_classes: int | None = Field(default=None, ge=2, examples=[10])
    """`null` takes the data set's."""
    in_channels: PositiveInt | None = Field(default=None, examples=[3])
    """`null` takes the data set's."""

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not is_own_code(name):
            return check_name(name, MODEL_NAMES)
        if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", name):
            raise ValueError(f'must be a built-in model or module:callable, found "{name}"')
        return name


class TrainingConfig(Section):
    """`training`: how long and in what batches."""

    batch_size: PositiveInt = Field(default=128, examples=[256])
    """Images a batch, in training and evaluation. A last training batch of one image is left
    out."""
    epochs: PositiveInt = Field(examples=[60])
    """Total number of epochs, including those before a resume."""
    test_frequency: PositiveInt = Field(default=10, examples=[5])
    """With a `val_split`: epochs between looks at the test set; the last epoch always looks."""
    accumulation_steps: PositiveInt = Field(default=1, examples=[2])
    """Every batch is run in this many parts whose gradients add up: less memory, the same steps
    but for batch norm. The parts of an odd batch differ by one image; a part has at least two."""
    cuda_graph: Literal["auto"] | bool = Field(default="auto", examples=[False])
    """On a GPU, a whole step (forward and backward pass, scaling of the loss, optimizer) is
    recorded at the fourth full batch and replayed from then on, so that small networks do not
    wait for Python to launch each kernel. See below. Not yet run on a GPU."""
    compile: Literal["auto"] | bool = Field(default=False, examples=[True])
    """The model is compiled with `torch.compile`: about a minute for the first trial of a worker,
    less where the compiler's cache on disk knows the model; later trials of the same model and
    batch size in that worker use the compiled code. `auto` compiles only on a GPU, only recorded
    trainings of built-in models, and only those of at least 78,000 full batches (an estimate, not
    yet measured). Needs a C++ compiler or, on a GPU, Triton; without one the model runs
    uncompiled and the log says why. The last digits of the metrics may differ from those without
    it."""


class AmpConfig(Section):
    """`amp`: mixed precision, on CUDA only."""

    enabled: bool = Field(default=False, examples=[True])
    """Mixed precision. It has an effect on a GPU only; elsewhere a note says that it is off."""
    dtype: Literal["bfloat16", "float16"] = Field(default="bfloat16", examples=["float16"])
    """`float16` scales the loss and adds `scaler_state_dict` to checkpoints; `bfloat16` needs no
    scaling."""


class TensorboardConfig(Section):
    """`tensorboard`: event files."""

    enabled: bool = Field(default=False, examples=[True])
    """Write event files; with checkpoints on, or in a sweep, into `tensorboard/` of the
    directory of the experiment or trial."""
    log_dir: UserPath = Field(
        default="./runs", examples=["./curves"], json_schema_extra={"format": "path"}
    )
    """Where the event files of a training alone are written if checkpoints are off."""


class ProgressConfig(Section):
    """`progress`: progress bars."""

    enabled: bool = Field(default=True, examples=[False])
    """Show a progress bar in a terminal. Trials of a sweep show none."""


class CheckpointConfig(Section):
    """`checkpoint`: what is saved, where, and what is resumed."""

    enabled: bool = Field(default=False, examples=[True])
    """Save checkpoints in an experiment directory. Where false, a training alone writes at most
    event files. The trials of a sweep write all but checkpoints: config, metrics, log; one that
    is interrupted starts again from epoch 1."""
    dir: str = Field(
        default="./experiments",
        examples=["/scratch/experiments"],
        json_schema_extra={"x-type": "path or address"},
    )
    """Where it goes; also `s3://bucket/experiments` and [other object
    storage](cluster.md#storage)."""
    experiment_name: str = Field(default="", examples=["my_exp"])
    """Name of the experiment directory. Empty means `{model}_{dataset}_{timestamp}`."""
    save_frequency: PositiveInt = Field(default=10, examples=[5])
    """Epochs between `epoch_NNNN.pt` files."""
    save_best: bool = Field(default=True, examples=[False])
    """Keep `best.pt`, the state of the best accuracy so far."""
    resume: str | None = Field(
        default=None,
        examples=["experiments/my_exp/checkpoints/latest.pt"],
        json_schema_extra={"x-type": "path or `null`"},
    )
    """A `.pt` file to continue from, with the next epoch; also its address in object storage. All
    settings are this config's (see [resuming](resuming.md#from-one-checkpoint))."""

    @field_validator("dir")
    @classmethod
    def _normalize(cls, path: str) -> str:
        return normalize_directory(path)

    @field_validator("experiment_name", mode="before")
    @classmethod
    def _replace_null(cls, name: Any) -> Any:
        return "" if name is None else name

    @field_validator("experiment_name")
    @classmethod
    def _check_directory_name(cls, name: str) -> str:
        return check_directory_name(name) if name else name

    @field_validator("resume")
    @classmethod
    def _replace_empty(cls, path: str | None) -> str | None:
        return normalize_directory(path) if path else None


class TrainConfig(Section):
    """A complete training config, one attribute a section; immutable."""

    seed: SeedConfig = SeedConfig()
    dataset: DatasetConfig = Field(examples=[{"name": "cifar10"}])
    """Which data set, and how it is split and augmented."""
    model: ModelConfig
    loss: LossConfig = Field(default=CrossEntropyLoss(), examples=[{"name": "mse"}])
    """`mse` and `l1`: against one-hot targets. `bce`: binary cross-entropy on the sigmoid of the
    logits. `sqr_hinge`: squared hinge with targets -1 and +1. These four have no other keys."""
    training: TrainingConfig
    optimizer: OptimizerConfig = Field(examples=[{"name": "sgd"}])
    """`adam` adds the weight decay to the gradient, `adamw` decouples it."""
    scheduler: SchedulerConfig = Field(default=CosineScheduler(), examples=[{"name": "step"}])
    """`none`: the learning rate as it is."""
    amp: AmpConfig = AmpConfig()
    tensorboard: TensorboardConfig = TensorboardConfig()
    progress: ProgressConfig = ProgressConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()

    @model_validator(mode="after")
    def _check_sections_agree(self) -> TrainConfig:
        warmup, epochs = self.scheduler.warmup_epochs, self.training.epochs
        if warmup >= epochs:
            raise ValueError(
                f"scheduler.warmup_epochs must be below training.epochs ({epochs}), found {warmup}"
            )
        parts, batch = self.training.accumulation_steps, self.training.batch_size
        if parts > batch:
            raise ValueError(
                f"training.accumulation_steps must be at most training.batch_size ({batch}), "
                f"found {parts}"
            )
        return self

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
    """Returns a config with the names of the classes, if its images are in folders."""
    if not isinstance(config.dataset, ImageFolderDataset):
        return config
    dataset = config.dataset.model_copy(update={"classes": names})
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
