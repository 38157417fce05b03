"""Writes reference/commands.md from the commands themselves.

    python docs/generate_commands.py [--check]

Texts, options and examples are those of `--help`, exit codes those of
`sweeps.terminal.exit_codes`. `--check` writes nothing and fails if the page is not current.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from sweeps.cli.main import main as sweep
from sweeps.terminal.exit_codes import EXIT_CODES, SIGHUP_CODE
from trainable.__main__ import main as train

PAGE = Path(__file__).parent / "reference" / "commands.md"
INTRODUCTION = """\
<!-- Written by docs/generate_commands.py. -->

# Commands

Every command with its options, an example and its exit codes. `sweep COMMAND --help` prints the
same in a terminal, and `sweep completion bash` the completion for your shell.

DIRECTORY is a sweep's directory, TRIAL the beginning of a trial's id or, in a path, the trial's
directory. Directories and files may be addresses in
[object storage](../guides/cluster.md#storage), unless a command says otherwise. Without an
installation, `python sweeps/cli` is `sweep`, `python sweeps/run.py` is `sweep run` and
`python sweeps/restore.py` is `sweep restore`.
"""
EXIT_INTRODUCTION = """\
## Exit codes

The codes 129, 130 and 143 are those of signals and left out below. An error in the program itself
ends with a traceback and code 1.

| code | of | meaning |
|---|---|---|
"""
OPTION = re.compile(r"(?<![\w`-])(--[a-z][a-z-]*)")


def write_page() -> str:
    """Returns the page."""
    parts = [INTRODUCTION, EXIT_INTRODUCTION + "\n".join(exit_rows())]
    root = click.Context(sweep, info_name="sweep", **sweep.context_settings)
    for title, names in sweep.sections.items():
        parts.append(f"## {title}")
        for name in names:
            parts += describe_all(sweep.commands[name], root, name)
    parts.append("## Without a sweep")
    single = click.Context(train, info_name="python -m trainable", **train.context_settings)
    parts += describe(train, single)
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def exit_rows() -> Iterator[str]:
    """Yields the rows of the table of exit codes."""
    for code, names, meaning in EXIT_CODES:
        commands = ", ".join(f"`{name}`" for name in names) or "every command"
        yield f"| {code} | {commands} | {meaning} |"


def describe_all(command: click.Command, parent: click.Context, name: str) -> Iterator[str]:
    """Yields the section of a command, then those of its subcommands."""
    context = click.Context(command, info_name=name, parent=parent)
    yield from describe(command, context)
    if isinstance(command, click.Group):
        for subcommand in command.list_commands(context):
            yield from describe_all(command.commands[subcommand], context, subcommand)


def describe(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yields the parts of a command's section: heading, use, text, example, options, codes."""
    path = context.command_path
    level = "####" if path.count(" ") > 1 and path.startswith("sweep") else "###"
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    yield f"{level} `{path}`"
    *texts, example = split_help(command)
    yield from (to_markdown(text, command) for text in texts[:1])
    yield f"```text\n{usage}\n```"
    yield from (to_markdown(text, command) for text in texts[1:])
    if example:
        yield f"```sh\n{example}\n```"
    if command.epilog:
        yield "```text\n" + command.epilog.replace("\b\n", "") + "\n```"
    yield from option_table(command, context)
    codes = ", ".join(str(code) for code in exit_codes(path.removeprefix("sweep ")))
    yield f"Exit codes: [{codes}](#exit-codes)."


def split_help(command: click.Command) -> list[str]:
    """Returns the paragraphs of a command's help, without its example, and then the example."""
    help_text = " ".join((command.help or "").replace("\n\n", "\f").split("\n"))
    paragraphs = [" ".join(part.split()) for part in help_text.split("\f")]
    examples = [part for part in paragraphs if part.startswith("Example: ")]
    texts = [part for part in paragraphs if not part.startswith("Example: ")]
    return [*texts, examples[0].removeprefix("Example: ") if examples else ""]


def to_markdown(text: str, command: click.Command) -> str:
    """Returns a help text with options, arguments and config keys in backticks."""
    placeholders = {parameter.make_metavar(click.Context(command)) for parameter in command.params}
    names = {re.sub(r"\W", "", name) for name in placeholders} - {""}
    text = OPTION.sub(r"`\1`", text)
    for name in sorted(names & set(re.findall(r"\b[A-Z][A-Z_]+\b", text))):
        text = re.sub(rf"(?<![`\w/]){name}(?![`\w])", f"`{name}`", text)
    return text


def option_table(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yields the table of a command's options, if it has any besides `--help`."""
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record and "--help" not in parameter.opts:
            names, text = (part.replace("|", "\\|") for part in record)
            names = re.sub(r"INTEGER( RANGE)?", "N", names)
            rows.append(f"| `{names}` | {with_limits(to_markdown(text, command))} |")
    if rows:
        yield "\n".join(["| option | meaning |", "|---|---|", *rows])


def with_limits(text: str) -> str:
    """Returns the text of an option with click's `[default: 1; x>=1]` in words."""
    text, _, limits = text.partition("  [")
    words = []
    for limit in limits.rstrip("]").split("; "):
        limit = re.sub(r"^default: (.*)$", r"default `\1`", limit)
        limit = re.sub(r"^x>=(\d+)$", r"at least \1", limit)
        words.append(re.sub(r"^(\d+)<=x<=(\d+)$", r"from \1 to \2", limit))
    return f"{text.rstrip('.')} ({', '.join(words)})." if limits else text


def exit_codes(command: str) -> list[int]:
    """Returns the exit codes of a command besides those of signals."""
    entries = [entry for entry in EXIT_CODES if entry.code < SIGHUP_CODE]
    return sorted({e.code for e in entries if not e.commands or command in e.commands})


def main() -> None:
    """Writes or checks the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="fail if the page is not current")
    text = write_page()
    if not parser.parse_args().check:
        PAGE.write_text(text, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != text:
        sys.exit(f"not current: {PAGE.name}; run python docs/generate_commands.py")


if __name__ == "__main__":
    main()
