"""Continues or evaluates a single training, given only its `.pt` file and the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from trainable.artifacts.checkpoint import (
    BEST_ACC,
    CONFIG,
    EPOCH,
    read_checkpoint,
    shape_differences,
)
from trainable.config import TrainConfig, parse_config
from trainable.config.override import override
from trainable.data.shapes import dataset_shape
from trainable.errors import CheckpointError, DataError, naming_memory
from trainable.experiment.fit import Outcome, fit
from trainable.storage.experiment import local_file
from trainable.training.saved_split import saved_split, with_saved_cache, without_held_out
from trainable.training.trainer import Trainer
from trainable.uri import expand_home, is_uri


def restored_config(
    checkpoint: str | Path,
    directory: str | Path,
    epochs: int | None,
    values: Mapping[str, Any],
) -> TrainConfig:
    """Builds the config that continues a checkpoint as an experiment of its own.

    Args:
        checkpoint: A `.pt` file of any experiment or trial, or its address in object storage.
        directory: The parent of the new experiment directory, or its address in object storage.
        epochs: Total epochs; None keeps the checkpoint's.
        values: Dotted config key -> new value.

    Raises:
        CheckpointError: The file is not a good checkpoint, or not one of this model and of data of
            this shape.
        ConfigError: The config with the values is not valid.
    """
    with local_file(str(checkpoint)) as path:
        saved = read_checkpoint(path)[CONFIG]
    changes = {
        **({} if epochs is None else {"training.epochs": epochs}),
        "checkpoint.enabled": True,
        "checkpoint.dir": _make_absolute(directory),
        "checkpoint.experiment_name": "",
        "checkpoint.resume": _make_absolute(checkpoint),
        **values,
    }
    config = parse_config(
        override(saved, changes), f"{checkpoint} with the command line's changes"
    )
    _check_shape(checkpoint, saved, config, values)
    return config


def _check_shape(
    checkpoint: str | Path,
    saved: Mapping[str, Any],
    config: TrainConfig,
    values: Mapping[str, Any],
) -> None:
    """Checks that the model, and data given in its place, have the checkpoint's shape.

    Raises:
        CheckpointError: They have another number of classes or channels, or it is another model.
    """
    name = Path(checkpoint).name
    differences = shape_differences(saved, config, name)
    if any(key.startswith("dataset.") for key in values):
        dataset = config.dataset
        try:
            counts = dict(zip(("num_classes", "in_channels"), dataset_shape(dataset), strict=True))
        except DataError:  # reported where the data are loaded
            counts = {}
        for key, count in counts.items():
            old = saved["model"].get(key)
            if f"model.{key}" not in values and old not in (None, count):
                data = f"the data (dataset.name: {dataset.name})"
                differences.append(f"model.{key} is {old} in {name} and {count} in {data}")
    if differences:
        raise CheckpointError(
            f"{'; '.join(differences)}: a checkpoint can only be used with the model and the "
            "numbers of classes and channels that it was trained with"
        )


def _make_absolute(location: str | Path) -> str:
    path = expand_home(str(location))
    return path if is_uri(path) else str(Path(path).absolute())


def restore(
    config: TrainConfig,
    console: Console,
    *,
    allow_custom_model: bool,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Continues training from the config's `checkpoint.resume`."""
    with naming_memory(str(config.checkpoint.resume)):
        return fit(
            config,
            console=console,
            allow_custom_model=allow_custom_model,
            should_stop=should_stop,
        )


def evaluate_checkpoint(
    checkpoint: str | Path,
    values: Mapping[str, Any],
    *,
    metrics: Sequence[str] = (),
    allow_custom_model: bool,
) -> dict[str, Any]:
    """Scores a checkpoint on the test set.

    Args:
        checkpoint: A `.pt` file of any experiment or trial, or its address in object storage.
        values: Dotted config key -> new value, e.g. `dataset.root` on another machine.
        metrics: Names as in the config's `metrics`, which are measured besides those.
        allow_custom_model: Whether `model.name` may import a callable of the user's.

    Returns:
        `checkpoint`, `epoch`, `best_acc`, `test_loss` (mean per image), `test_acc` in [0, 1],
        `images` and `notices`, a list of lines on the files of the data set; `test_` with the name
        of each metric; and `classes`, the names of the classes, if a metric has a value for each.

    Raises:
        TuneSweepsError: The file is not a good checkpoint, or the data cannot be loaded.
    """
    with local_file(str(checkpoint)) as path:
        state = read_checkpoint(path)
    changed = override(state[CONFIG], values)
    changed["metrics"] = list(dict.fromkeys([*(changed.get("metrics") or ()), *metrics]))
    config = parse_config(changed, str(checkpoint))
    _check_shape(checkpoint, state[CONFIG], config, values)
    if "dataset.cache" not in values:
        config = with_saved_cache(config, state[CONFIG])
    split = saved_split(state, config.dataset)
    if split is not None:
        split = split.of_test_set()
        config = config.model_copy(update={"dataset": without_held_out(config.dataset)})
    with naming_memory(str(checkpoint)):
        trainer = Trainer(
            config, allow_custom_model=allow_custom_model, split=split, pretrained=False
        )
        trainer.load_state_dict(state)
        score = trainer.score("test")
    return {
        "checkpoint": str(checkpoint),
        "epoch": state[EPOCH],
        "best_acc": state[BEST_ACC],
        "test_loss": score.loss,
        "test_acc": score.acc,
        **{f"test_{name}": value for name, value in score.measured.scores.items()},
        **{f"test_{name}": value for name, value in score.measured.per_class.items()},
        **({"classes": list(trainer.source.class_names)} if score.measured.per_class else {}),
        "images": trainer.source.size("test"),
        "notices": list(trainer.source.notices),
    }
