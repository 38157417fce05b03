"""All commands with their parameters as plain data, from which a shell's key press is answered.

Importing the commands themselves takes most of a second.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from sweeps.cli.setup.verbs import VerbGroup
from sweeps.cli.shell.parameter_types import (
    COMMANDS_FILE,
    AnyAssignment,
    CheckpointFile,
    ExampleName,
    SearchAssignment,
    SearchFile,
    SettingAssignment,
    SweepDirectory,
    SweepPath,
    TrainingAssignment,
    TrialId,
    TrialIds,
    UserPath,
)

TYPES: dict[str, click.ParamType[Any]] = {
    type(kind).__name__: kind
    for kind in (
        AnyAssignment(),
        CheckpointFile(),
        ExampleName(),
        SearchAssignment(),
        SearchFile(),
        SettingAssignment(),
        SweepDirectory(),
        SweepPath(),
        TrainingAssignment(),
        TrialId(),
        TrialIds(),
        UserPath(),
    )
}
"""Name of a type -> the type; the others are completed as texts."""
Description = dict[str, Any]


def completion_data(
    main: click.Command, keys: dict[str, list[str]], examples: Sequence[str]
) -> str:
    """Returns the JSON text of `COMMANDS_FILE`.

    Args:
        main: The command `sweep`.
        keys: The keys of the files (see `list_assignable_keys`).
        examples: The names of the examples that ship.
    """
    data = {"commands": describe_command(main), "keys": keys, "examples": list(examples)}
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def describe_command(command: click.Command) -> Description:
    """Returns what the completion needs of a command and of those below it."""
    described: Description = {
        "summary": command.get_short_help_str(limit=1000),
        "parameters": [_describe_parameter(parameter) for parameter in command.params],
    }
    if isinstance(command, VerbGroup):
        described["aliases"] = command.aliases
        described["commands"] = {
            name: describe_command(inner) for name, inner in command.commands.items()
        }
    return described


def _describe_parameter(parameter: click.Parameter) -> Description:
    kind = parameter.type
    described: Description = {
        "name": parameter.name,
        "options": [*parameter.opts, *parameter.secondary_opts],
        "type": type(kind).__name__,
        "nargs": parameter.nargs,
    }
    if isinstance(kind, click.Choice):
        described["choices"] = list(kind.choices)
    if isinstance(parameter, click.Option):
        described |= {
            "is_flag": parameter.is_flag,
            "multiple": parameter.multiple,
            "help": parameter.help,
        }
    return described


def read_commands() -> click.Group:
    """Reads all commands from `COMMANDS_FILE`; they do nothing."""
    described = json.loads(COMMANDS_FILE.read_text(encoding="utf-8"))["commands"]
    command = _build_command("sweep", described)
    assert isinstance(command, click.Group)
    return command


def _build_command(name: str, described: Description) -> click.Command:
    parameters = [_build_parameter(parameter) for parameter in described["parameters"]]
    summary = described["summary"]
    if "commands" not in described:
        return click.Command(name, params=parameters, short_help=summary)
    group = VerbGroup(name, params=parameters, short_help=summary, aliases=described["aliases"])
    for inner, inner_described in described["commands"].items():
        group.add_command(_build_command(inner, inner_described))
    return group


def _build_parameter(described: Description) -> click.Parameter:
    choices = described.get("choices")
    kind = click.Choice(choices) if choices else TYPES.get(described["type"])
    name, nargs = described["name"], described["nargs"]
    if "help" not in described:
        return click.Argument([name], type=kind, nargs=nargs, required=False)
    declared, help_text = [name, *described["options"]], described["help"]
    if described["is_flag"]:
        return click.Option(declared, is_flag=True, help=help_text)
    multiple = described["multiple"]
    return click.Option(declared, type=kind, nargs=nargs, multiple=multiple, help=help_text)
