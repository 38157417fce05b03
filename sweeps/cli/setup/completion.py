"""The command that prints the script of a shell's completion: completion."""

from __future__ import annotations

import click

from sweeps.cli.options import FINISHED, exits
from sweeps.cli.shell.scripts import PROGRAM, SCRIPTS, VARIABLE
from sweeps.terminal.console import print_exactly

BASH_DIRECTORY = "~/.local/share/bash-completion/completions"
INSTALL = {
    "bash": (
        f"mkdir -p {BASH_DIRECTORY}",
        f"sweep completion bash > {BASH_DIRECTORY}/sweep",
    ),
    "zsh": ("mkdir -p ~/.zfunc", "sweep completion zsh > ~/.zfunc/_sweep"),
    "fish": (
        "mkdir -p ~/.config/fish/completions",
        "sweep completion fish > ~/.config/fish/completions/sweep.fish",
    ),
}
"""Shell -> the commands that install the completion for later shells."""
NEEDS = {
    "bash": (
        "bash reads that file if the package bash-completion is installed.",
        "Without it, add this line to ~/.bashrc:",
        f"  source {BASH_DIRECTORY}/sweep",
    ),
    "zsh": (
        "zsh reads that file if these lines are at the end of ~/.zshrc:",
        "  fpath=(~/.zfunc $fpath)",
        "  autoload -Uz compinit && compinit",
    ),
    "fish": (),
}
"""Shell -> what it needs to read the file."""


def _describe(shell: str) -> list[str]:
    return [*(f"  {line}" for line in INSTALL[shell]), *NEEDS[shell]]


EPILOG = "\n\n".join("\n".join(["\b", f"{shell}:", *_describe(shell)]) for shell in INSTALL)


@click.command(epilog=EPILOG)
@click.argument("shell", type=click.Choice(list(INSTALL)))
@click.pass_context
@exits
def completion(context: click.Context, shell: str) -> int:
    """Prints the completion of commands for a shell.

    With it the TAB key completes commands, options, the directories of sweeps, the ids of trials,
    search files, checkpoints and the keys of --set. Below is how to install it for later shells.

    Example: sweep completion bash
    """
    script = SCRIPTS[shell](context.find_root().command, {}, PROGRAM, VARIABLE).source()
    first, _, rest = script.lstrip("\n").partition("\n")  # zsh needs its first line to be first
    title = f"# Completion of `{PROGRAM}`. To install it:"
    comment = "\n".join([title, *(f"# {line}" for line in _describe(shell))])
    print_exactly("\n".join([first, comment, rest] if shell == "zsh" else [comment, first, rest]))
    return FINISHED
