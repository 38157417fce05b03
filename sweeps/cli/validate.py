"""Commands that start nothing: validate and schema."""

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
    """Checks a search file and its training config.

    Reports all problems of SEARCH_FILE and of the training config that it names, and starts
    nothing.

    Example: sweep validate configs/search.yaml
    """
    from sweeps.spec.load import load_search
    from sweeps.spec.overrides import parse_assignments

    spec = load_search(search_file, parse_assignments(assignments))
    check_warm_start(spec)
    check_sampler_of_optuna(spec)
    keys = "key" if len(spec.space) == 1 else "keys"
    print_line(f"{search_file}: valid; {spec.trials} trials over {len(spec.space)} {keys}")
    return FINISHED


def check_warm_start(spec: SearchSpec) -> None:
    """Checks that the sweep that `warm_start` names exists; object storage is not read.

    Raises:
        SweepError: There is no such sweep.
    """
    from sweeps.sweep_dir.layout import SweepLayout

    earlier = spec.tune.warm_start
    if earlier is not None and not is_uri(earlier):
        SweepLayout(Path(earlier)).read_sweep()


def check_sampler_of_optuna(spec: SearchSpec) -> None:
    """Checks the sampler of `search_alg: {name: optuna}` unless it is code of the user's.

    Raises:
        ConfigError: The sampler does not exist or cannot search the space.
    """
    from sweeps.spec.search_algorithms import OptunaSearch

    search = spec.tune.search_alg
    if isinstance(search, OptunaSearch) and not search.is_custom:
        from sweeps.search.sampler_check import check_sampler  # imports optuna

        check_sampler(spec)


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
