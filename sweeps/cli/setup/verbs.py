"""Groups of commands: listed in sections, with aliases and the nearest name of a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import click

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


class VerbGroup(click.Group):
    """A group of commands whose help lists them in sections, each summary whole."""

    def __init__(
        self,
        *args: Any,
        sections: Mapping[str, Sequence[click.Command]] | None = None,
        aliases: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Adds the commands of the sections.

        Args:
            *args: Arguments of `click.Group`.
            sections: Title -> its commands, in the order in which the help has them. Commands
                that are added in another way are in a last section "Commands".
            aliases: Other name of a command, which works but is not listed -> its name.
            **kwargs: Options of `click.Group`.
        """
        super().__init__(*args, **{"context_settings": HELP_OPTIONS, **kwargs})
        self.sections = {
            title: [str(command.name) for command in commands]
            for title, commands in (sections or {}).items()
        }
        self.aliases = dict(aliases or {})
        for commands in (sections or {}).values():
            for command in commands:
                self.add_command(command)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the commands in the order of the sections, without the aliases."""
        del ctx
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Returns a command by its name or its alias."""
        return super().get_command(ctx, self.aliases.get(cmd_name, cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command of a command line; an alias becomes the command's own name.

        Raises:
            click.UsageError: There is no such command; the message names the nearest ones.
        """
        name, rest = args[0], args[1:]
        command = self.get_command(ctx, name)
        if command is not None:
            return command.name, command, rest
        if ctx.resilient_parsing or name.startswith("-"):
            return super().resolve_command(ctx, args)
        near = difflib.get_close_matches(name, [*self.commands, *self.aliases])
        hint = f": did you mean {' or '.join(near)}?" if near else ""
        raise click.UsageError(f"there is no command {name}{hint}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes each section with the whole summaries of its commands."""
        listed = {name for names in self.sections.values() for name in names}
        others = [name for name in self.list_commands(ctx) if name not in listed]
        width = max(map(len, self.list_commands(ctx)), default=0)
        for title, names in {**self.sections, "Commands": others}.items():
            rows = [
                (f"{name:<{width}}", self.commands[name].get_short_help_str(limit=1000))
                for name in names
                if not self.commands[name].hidden
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
