"""Sections of the help, aliases of commands and the nearest name of a mistyped one."""

import click
import pytest
from click.testing import CliRunner, Result

from sweeps.cli.main import ALIASES, SECTIONS, main


def invoke(*args: str, width: int = 80) -> Result:
    return CliRunner().invoke(main, list(args), terminal_width=width, prog_name="sweep")


def all_commands(group: click.Group, *words: str) -> list[tuple[str, ...]]:
    """Lists the words of all commands below a group, without aliases."""
    paths = []
    for name, command in group.commands.items():
        paths.append((*words, name))
        if isinstance(command, click.Group):
            paths += all_commands(command, *words, name)
    return paths


def test_the_help_has_each_command_in_its_section_with_its_whole_summary() -> None:
    lines = invoke("--help").stdout.splitlines()
    for title, commands in SECTIONS.items():
        start = lines.index(f"{title}:") + 1
        section = lines[start : start + len(commands)]
        assert [line.split()[0] for line in section] == [command.name for command in commands]
        for line, command in zip(section, commands, strict=True):
            summary = " ".join((command.help or "").split("\n\n")[0].split())
            assert line.split(maxsplit=1)[1] == summary


@pytest.mark.parametrize("words", all_commands(main), ids=" ".join)
def test_the_help_of_every_command_fits_80_columns_and_ends_with_its_example(
    words: tuple[str, ...],
) -> None:
    long, short = invoke(*words, "--help"), invoke(*words, "-h")
    assert (long.exit_code, long.stdout) == (0, short.stdout)
    assert max(map(len, long.stdout.splitlines())) <= 80
    text = long.stdout.partition("\nOptions:")[0]
    last = " ".join(text.split("\n\n")[-1].split())
    assert last.startswith(f"Example: sweep {' '.join(words)}")


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_an_alias_works_is_not_listed_and_is_named_in_the_help_of_its_command(
    alias: str, name: str
) -> None:
    text = invoke(alias, "--help").stdout
    assert text == invoke(name, "--help").stdout
    assert f"`sweep {alias}` is another name of this command" in " ".join(text.split())
    assert f"\n  {alias} " not in invoke("--help").stdout


def test_jobs_stop_is_jobs_pause() -> None:
    assert invoke("jobs", "stop", "-h").stdout == invoke("jobs", "pause", "-h").stdout
    assert "\n  stop " not in invoke("jobs", "-h").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resme"], "there is no command resme: did you mean resume or restore?"),
        (["contine"], "there is no command contine: did you mean continue?"),
        (["jobs", "stat"], "there is no command stat: did you mean status?"),
        (["trial", "resum", "x"], "there is no command resum: did you mean resume?"),
        (["xyzzy"], "there is no command xyzzy"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistyped_command_names_the_nearest(words: list[str], message: str) -> None:
    result = invoke(*words)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == f"Error: {message}"
