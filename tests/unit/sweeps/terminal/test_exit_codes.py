"""The table of exit codes has every code that a command can end with."""

from sweeps.cli.main import main
from sweeps.terminal import exit_codes
from sweeps.trials.pause import EXIT_CODES


def test_every_exit_code_of_a_sweep_has_its_meaning() -> None:
    of_run = {e.code for e in exit_codes.EXIT_CODES if not e.commands or "run" in e.commands}
    assert set(EXIT_CODES.values()) <= of_run


def test_the_named_commands_exist() -> None:
    named = {name for entry in exit_codes.EXIT_CODES for name in entry.commands}
    assert named - set(main.commands) == {"python -m trainable"}
