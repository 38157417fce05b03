"""Verbs that start nothing: validate and schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweeps.cli.options import FINISHED, SET_IN_SEARCH, exits
from sweeps.terminal.console import console, print_line
from trainable.uri import is_uri

if TYPE_CHECKING:
    from sweeps.spec.search_spec import SearchSpec


@click.command()
@click.argument("search_file", type=click.Path(path_type=Path))
@SET_IN_SEARCH
@exits
def validate(search_file: Path, assignments: tuple[str, ...]) -> int:
    """Checks SEARCH_FILE and the training config it names; starts nothing.

    Example: sweep validate configs/search.yaml
    """
    from sweeps.spec.load import load_search
    from sweeps.spec.overrides import parse_assignments

    spec = load_search(search_file, parse_assignments(assignments))
    check_warm_start(spec)
    print_line(f"{search_file}: good; {spec.trials} trials over {len(spec.space)} keys")
    return FINISHED


def check_warm_start(spec: SearchSpec) -> None:
    """Looks for the earlier sweep that `warm_start` names; one in object storage is not asked for.

    Raises:
        SweepError: There is none.
    """
    from sweeps.sweep_dir.layout import SweepLayout

    earlier = spec.tune.warm_start
    if earlier is not None and not is_uri(earlier):
        SweepLayout(Path(earlier)).read_sweep()


@click.command()
@click.argument("kind", type=click.Choice(["search", "training"]), default="search")
@exits
def schema(kind: str) -> int:
    """Prints the JSON schema of the search file or of the training config, for editors.

    Example: sweep schema training
    """
    from sweeps.spec.json_schema import schema_text

    console.out(schema_text(kind), end="", highlight=False)
    return FINISHED
