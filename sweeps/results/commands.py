"""Commands that resume a sweep or use one of its trials, as messages print them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.results.trial_results import TrialResult
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.terminal.commands import sweep_command, train_command
from trainable.artifacts.names import CONFIG_FILE
from trainable.config.own_code import is_own_code
from trainable.config.yaml_reader import parse_yaml, read_yaml
from trainable.errors import ConfigError, list_first

MAX_HELD_SHOWN = 8
"""Ids of held trials that a message lists."""
CODE_KEYS = ("model", "model.name", "loss", "loss.name", "dataset.name")
"""Keys of the space that can choose code of the user's own."""


@dataclass(frozen=True)
class SweepCommands:
    """Commands for one sweep, with the options that it needs."""

    directory: Path
    has_own_code: bool
    """Whether its data sets, models or sampler need `--allow-custom-model`."""
    address: str | None
    """The Ray cluster that it was last run on, as the user gave it."""

    def run_again(self, verb: str, *options: str, absolute: bool = False) -> str:
        """Returns a command that runs trials of the sweep: resume, extend or retry.

        Args:
            verb: The verb.
            *options: Its options.
            absolute: Whether the command is for any directory, as in a file.
        """
        return sweep_command(
            verb,
            self.directory,
            *options,
            allow_custom_model=self.has_own_code,
            address=self.address,
            absolute=absolute,
        )


def read_commands(directory: Path) -> SweepCommands:
    """Reads what the commands for a sweep need from its directory.

    Raises:
        SweepError: The directory holds no sweep.
    """
    layout = SweepLayout(directory)
    record = layout.read_sweep()
    try:
        search = read_yaml(layout.search_file).data
    except ConfigError:  # the command will report it
        search = {}
    return SweepCommands(layout.directory, bool(own_code(search)), record.address)


def trial_commands(
    result: TrialResult, config_file: Path | None = None, *, absolute: bool = False
) -> dict[str, str]:
    """Returns the commands that use a trial: its verbs, and `train`, which trains it again.

    `eval`, `predict`, `restore` and `export-model` need its checkpoint and are left out without
    one. `predict` is for the images of a data set in class folders, and left out for other data.

    Args:
        result: The trial.
        config_file: The config that `train` names; by default the one in the trial's directory.
        absolute: Whether the commands are for any directory, as in a file.
    """
    path = result.directory / CONFIG_FILE
    text = result.config_text()
    if text is None:  # it is damaged, or the trial has not started
        search_file = SweepLayout(result.directory.parent).search_file
        config = read_yaml(search_file).data["config"] if search_file.exists() else {}
    else:
        config = parse_yaml(text, CONFIG_FILE).data
    is_own = bool(own_code({"config": config}))
    directories = SweepLayout(result.directory.parent).read_sweep().code_directories
    train = train_command(
        config_file or path, allow_custom_model=is_own, code_directories=directories
    )
    commands = {"train": train}
    if result.checkpoint is not None and config:
        twice = str(2 * int(config["training"]["epochs"]))
        options: dict[str, list[str | Path]] = {
            "eval": [],
            "restore": ["--epochs", twice],
            "export-model": [],
        }
        if (images := _find_images(config["dataset"])) is not None:
            options["predict"] = [images]
        for verb, more in options.items():
            commands[verb] = sweep_command(
                verb,
                result.checkpoint,
                *more,
                allow_custom_model=is_own,
                absolute=absolute,
            )
    return commands


def _find_images(dataset: Mapping[str, Any]) -> Path | None:
    """Returns the folder with the test images, or all images, of a data set in class folders."""
    if dataset["name"] != "image_folder":
        return None
    root = Path(dataset["root"])
    return next((path for path in (root / "test", root) if path.is_dir()), None)


def describe_held(directory: Path, trials: Sequence[str]) -> list[str]:
    """Returns lines on trials that requests hold, with the command that lets the first go on.

    Args:
        directory: The sweep directory.
        trials: Their ids; at least one.
    """
    noun = "1 trial is" if len(trials) == 1 else f"{len(trials)} trials are"
    command = sweep_command("trial", "resume", directory, trials[0])
    ids = list_first(trials, MAX_HELD_SHOWN)
    return [f"{noun} paused by hand: {ids}; to let one go on:", f"  {command}"]


def own_code(search: Mapping[str, Any]) -> list[str]:
    """Lists the `module:name` of data sets, models, losses, metrics and samplers of one's own.

    A sweep with any needs `--allow-custom-model`.

    Args:
        search: The plain values of a search file; its training config is a mapping.
    """
    space, config = search.get("space") or {}, search.get("config") or {}
    algorithm = (search.get("tune") or {}).get("search_alg")
    sampler = algorithm.get("sampler") if isinstance(algorithm, Mapping) else None
    values = [
        *(config.get(section) for section in ("model", "loss", "metrics")),
        *(space[key] for key in CODE_KEYS if key in space),
        *_names(config.get("dataset")),
        *_names(space.get("dataset")),
        sampler,
    ]
    return list(
        dict.fromkeys(text for value in values for text in _texts(value) if is_own_code(text))
    )


def _names(value: Any) -> Iterator[Any]:
    """Yields the names of data sets, without their other texts, such as names of classes."""
    if isinstance(value, Mapping) and "name" in value:
        yield value["name"]
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _names(item)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
