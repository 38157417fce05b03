"""Commands that start nothing: validate and schema."""

from __future__ import annotations

from pathlib import Path

import click

from sweeps.cli.options import ALLOW_CUSTOM_MODEL, FINISHED, PATH, SET_IN_SEARCH, exits
from sweeps.terminal.console import console, print_line
from trainable.uri import is_uri


@click.command()
@click.argument("search_file", type=PATH)
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
    from sweeps.preflight.checks import refuse_failing_sweep
    from sweeps.search.sampler_check import check_optuna_sampler
    from sweeps.spec.load import load_search
    from sweeps.spec.overrides import parse_assignments
    from sweeps.spec.search_spec import SearchSpec
    from trainable.preflight.background import Options

    spec = load_search(search_file, parse_assignments(assignments, SearchSpec))
    check_warm_start(spec.tune.warm_start)
    check_optuna_sampler(spec)
    refuse_failing_sweep(spec, Options(allow_custom_model, with_torch=False))
    keys = "key" if len(spec.space) == 1 else "keys"
    print_line(f"{search_file}: valid; {spec.trials} trials over {len(spec.space)} {keys}")
    return FINISHED


def check_warm_start(earlier: str | None) -> None:
    """Checks that the sweep that `warm_start` names exists; object storage is not read.

    Raises:
        SweepError: There is no such sweep.
    """
    from sweeps.sweep_dir.layout import SweepLayout

    if earlier is not None and not is_uri(earlier):
        SweepLayout(Path(earlier)).read_sweep()


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
