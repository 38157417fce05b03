"""The scripts with which shells ask for completions.

They are click's, except that bash and zsh add no space behind an unfinished word.
"""

from __future__ import annotations

from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

PROGRAM, VARIABLE = "sweep", "_SWEEP_COMPLETE"
UNFINISHED = "*[=./]"
"""Pattern of a word that goes on: `optimizer.`, `tune.seed=`, `configs/`."""
BASH_END = "    return 0\n"
BASH_NO_SPACE = f"""\
    if [[ ${{#COMPREPLY[@]}} -eq 1 && ${{COMPREPLY[0]}} == {UNFINISHED} ]]; then
        compopt -o nospace
    fi

"""
ZSH_WORD = '                completions+=("$key")\n'
ZSH_NO_SPACE = f"""\
                if [[ "$key" == {UNFINISHED} ]]; then
                    compadd -U -S '' -V unfinished -- "$key"
                else
                    completions+=("$key")
                fi
"""


class BashScript(BashComplete):
    """bash's script."""

    source_template = BashComplete.source_template.replace(BASH_END, BASH_NO_SPACE + BASH_END)


class ZshScript(ZshComplete):
    """zsh's script."""

    source_template = ZshComplete.source_template.replace(ZSH_WORD, ZSH_NO_SPACE)


SCRIPTS: dict[str, type[ShellComplete]] = {
    "bash": BashScript,
    "zsh": ZshScript,
    "fish": FishComplete,
}
"""Shell -> its script; fish itself adds no space there."""
