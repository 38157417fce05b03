"""Verbs that read a search file and start nothing: validate."""

from __future__ import annotations

from pathlib import Path

import click

from sweeps.console import say
from sweeps.verbs.common import FINISHED, SET_IN_SEARCH, exits


@click.command()
@click.argument("search_file", type=click.Path(path_type=Path))
@SET_IN_SEARCH
@exits
def validate(search_file: Path, assignments: tuple[str, ...]) -> int:
    """Checks SEARCH_FILE and the training config it names; starts nothing.

    Example: sweep validate configs/search.yaml
    """
    from sweeps.assignments import parse_assignments
    from sweeps.spec import load_search

    spec = load_search(search_file, parse_assignments(assignments))
    say(f"{search_file}: good; {spec.trials} trials over {len(spec.space)} keys")
    return FINISHED
