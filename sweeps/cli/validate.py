"""Commands that start nothing: validate and schema."""

from __future__ import annotations

from pathlib import Path

import click

from sweeps.cli.options import ALLOW_CUSTOM_MODEL, FINISHED, SEARCH_FILE, SET_IN_SEARCH, exits
from sweeps.terminal.commands import sweep_command
from sweeps.terminal.console import console, print_line, print_note


@click.command()
@SEARCH_FILE
@SET_IN_SEARCH
@ALLOW_CUSTOM_MODEL
@exits
def validate(search_file: Path, assignments: tuple[str, ...], allow_custom_model: bool) -> int:
    """Checks a search file and its training config.

    Reports all problems of SEARCH_FILE, of the training config that it names and of the data and
    paths in it, and starts nothing. Your own data set and model are looked for, but not run;
    `sweep plan` does that.

    Example: sweep validate configs/search.yaml
    """
    from sweeps.planning.validation import check_spec
    from sweeps.results.commands import own_code
    from sweeps.spec.load import load_search
    from sweeps.spec.overrides import parse_assignments
    from sweeps.spec.search_spec import SearchSpec

    spec = load_search(search_file, parse_assignments(assignments, SearchSpec))
    check_spec(spec, allow_custom_model=allow_custom_model)
    keys = "key" if len(spec.space) == 1 else "keys"
    print_line(f"{search_file}: valid; {spec.trials} trials over {len(spec.space)} {keys}")
    if own := own_code(spec.to_dict()):
        command = sweep_command("plan", search_file, allow_custom_model=True)
        names = ", ".join(dict.fromkeys(own))
        print_note(f"your own code was not run ({names}); this runs it: {command}")
    return FINISHED


@click.command()
@click.argument("kind", type=click.Choice(["search", "training"]), default="search")
@exits
def schema(kind: str) -> int:
    """Prints a JSON schema for your editor.

    The schema is that of the search file, or of the training config.

    Example: sweep schema training
    """
    from sweeps.spec.json_schema import schema_text

    console.out(schema_text(kind), end="", highlight=False)
    return FINISHED
