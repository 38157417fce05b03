"""Types of arguments and options, with what a shell may complete them to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import click
from click.shell_completion import CompletionItem
from click.types import StringParamType

from sweeps.cli.shell.candidates import (
    complete_checkpoint,
    complete_file,
    complete_sweep,
    complete_trial,
)
from trainable.errors import PathError
from trainable.uri import expand_home, is_uri

COMMANDS_FILE = Path(__file__).with_name("commands.json")
"""All commands, keys of both files and examples, which `docs/generate_tables.py` writes."""


class RemoteDirectory(str):
    """The URI of a directory in object storage."""

    __slots__ = ()


class UserPath(click.Path):
    """A path. A leading `~` is the home directory, also in `--dir=~/x`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Expands `~` and converts the path."""
        try:
            path = expand_home(value) if isinstance(value, str) else value
        except PathError as error:
            self.fail(str(error), param, ctx)
        return super().convert(path, param, ctx)


class SearchFile(UserPath):
    """A search file or a training config."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Returns YAML files and directories; without any, the shell completes files."""
        del ctx, param
        return _items(complete_file(incomplete, (".yaml", ".yml")), incomplete, "file")


class CheckpointFile(UserPath):
    """The path or the URI of a checkpoint; commands handle URIs themselves."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Returns checkpoints and directories; without any, the shell completes files."""
        del ctx, param
        return _items(complete_checkpoint(incomplete), incomplete, "file")


class SweepPath(UserPath):
    """The path or the URI of a sweep; commands handle URIs themselves."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Returns the sweeps that begin so; without any, the shell completes directories."""
        del ctx, param
        return _items(complete_sweep(incomplete), incomplete, "dir")


class SweepDirectory(SweepPath):
    """A local path or the URI of a directory in object storage.

    A command receives a local path in both cases, because `exits` replaces a URI by the path of
    its local mirror.
    """

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Converts a URI to a `RemoteDirectory` and anything else to a path."""
        if isinstance(value, str) and is_uri(value):
            return RemoteDirectory(value)
        return super().convert(value, param, ctx)


class TrialId(StringParamType):
    """The beginning of the id of a trial in the sweep that the command names."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Returns the trials of the sweep that the command line has already."""
        del param
        paths = [value for value in ctx.params.values() if isinstance(value, Path)]
        # click has not assigned the arguments if it completes the value of an option.
        paths += [Path(word).expanduser() for word in ctx.args]
        return [
            CompletionItem(trial) for path in paths for trial in complete_trial(path, incomplete)
        ]


class TrialIds(TrialId):
    """Several of them, separated by commas."""

    name = "id,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Splits the text."""
        if not isinstance(value, str):
            return value
        ids = tuple(part.strip() for part in value.split(","))
        if not all(ids):
            self.fail(f"{value!r} has an empty id", param, ctx)
        return ids

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Completes the last id."""
        before, separator, last = incomplete.rpartition(",")
        items = super().shell_complete(ctx, param, last)
        return [CompletionItem(f"{before}{separator}{item.value}") for item in items]


class ExampleName(StringParamType):
    """The name of an example that ships with the project."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Returns the examples that begin so."""
        del ctx, param
        examples = json.loads(COMMANDS_FILE.read_text(encoding="utf-8"))["examples"]
        return [CompletionItem(name) for name in examples if name.startswith(incomplete)]


class TrainingAssignment(StringParamType):
    """`KEY=VALUE` for a key of the training config."""

    kinds: ClassVar[tuple[str, ...]] = ("training",)
    """Lists of keys in `COMMANDS_FILE`."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Returns the next part of every key that begins so, with the `.` or `=` behind it."""
        del ctx, param
        lists = json.loads(COMMANDS_FILE.read_text(encoding="utf-8"))["keys"]
        keys = [f"{key}=" for kind in self.kinds for key in lists[kind]]
        starts = [key for key in keys if key.startswith(incomplete)]
        rests = [key[len(incomplete) :].partition(".") for key in starts]
        parts = [f"{incomplete}{rest}{dot}" for rest, dot, _ in rests]
        return [CompletionItem(part) for part in dict.fromkeys(parts)]


class SearchAssignment(TrainingAssignment):
    """`KEY=VALUE` for a key of the search file or, behind `config.`, of the training config."""

    kinds = ("search",)


class AnyAssignment(TrainingAssignment):
    """`KEY=VALUE` for a key of the one or the other, by the file that the command names."""

    kinds = ("training", "search")


class SettingAssignment(TrainingAssignment):
    """`KEY=VALUE` for a setting that may change while a sweep runs."""

    kinds = ("settings",)


def _items(values: list[str], incomplete: str, otherwise: str) -> list[CompletionItem[Any]]:
    """Returns the values, or the shell's own completion of `file` or `dir` without any."""
    return [CompletionItem(value) for value in values] or [CompletionItem(incomplete, otherwise)]
