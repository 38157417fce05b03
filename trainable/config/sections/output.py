"""`tensorboard`, `progress` and `checkpoint`: what a training writes and shows."""

from __future__ import annotations

from typing import Any

from pydantic import Field, PositiveInt, field_validator

from trainable.config.names import check_directory_name
from trainable.config.schema import Section, UserPath
from trainable.uri import normalize_directory


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
    storage](../guides/cluster.md#storage)."""
    experiment_name: str = Field(default="", examples=["my_exp"])
    """Name of the experiment directory. Empty means `{model}_{dataset}_{timestamp}`."""
    save_frequency: PositiveInt = Field(default=10, examples=[5])
    """Epochs between `epoch_NNNN.pt` files."""
    save_best: bool = Field(default=True, examples=[False])
    """Keep `best.pt`, the state of the best epoch so far."""
    monitor: str = Field(default="val_acc", examples=["val_f1_macro"])
    """Decides which epoch is the best: `val_acc`, `val_loss`, or `val_` and a name of `metrics`
    that is one number, e.g. `val_f1_macro`."""
    resume: str | None = Field(
        default=None,
        examples=["experiments/my_exp/checkpoints/latest.pt"],
        json_schema_extra={"x-type": "path or `null`"},
    )
    """A `.pt` file to continue from, with the next epoch; also its address in object storage. All
    settings are this config's (see
    [resuming](../guides/resuming.md#from-one-checkpoint))."""

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
