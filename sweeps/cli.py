"""The `sweep` command: its verbs, what they print, and their exit codes.

0 finished, 1 finished with failed trials, 2 bad input.
"""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import click

from sweeps.console import complain, say, show
from sweeps.layout import SweepLayout
from sweeps.report import table
from trainable.errors import TuneSweepsError

if TYPE_CHECKING:
    from sweeps.launch import Outcome
    from sweeps.spec import SearchSpec

BAD_INPUT = 2
SOME_FAILED = 1

P = ParamSpec("P")


def _exits(verb: Callable[P, int]) -> Callable[P, None]:
    """Makes a verb's return value the exit code, and a user's error one message and code 2."""

    @functools.wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = verb(*args, **kwargs)
        except TuneSweepsError as error:
            complain(str(error))
            code = BAD_INPUT
        sys.exit(code)

    return run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Hyperparameter sweeps for PyTorch image classifiers on Ray Tune."""


@main.command()
@click.argument("search_file", type=click.Path(path_type=Path))
@click.option(
    "--allow-custom-model",
    is_flag=True,
    help="Let model.name import a callable of yours (module:callable).",
)
@_exits
def run(search_file: Path, allow_custom_model: bool) -> int:
    """Runs the sweep that SEARCH_FILE describes.

    Example: sweep run configs/search.yaml
    """
    from sweeps.spec import load_search

    spec = load_search(search_file)
    from sweeps.launch import run_sweep

    return _finish(run_sweep(spec, allow_custom_model=allow_custom_model), spec)


def _finish(outcome: Outcome, spec: SearchSpec) -> int:
    """Prints what the sweep came to; returns the exit code."""
    show(table(outcome.results, spec.tune.metric))
    failed = sum(result.record.state == "failed" for result in outcome.results)
    if failed:
        say(f"{failed} of {len(outcome.results)} trials failed; why: trial.json of each")
    best = outcome.results[0] if outcome.results else None
    if best is None or best.best is None:
        say("no trial has a best epoch")
        return SOME_FAILED
    metric = spec.tune.metric
    say(f"best: trial {best.record.id}, {metric} {best.best[metric]:.4f} at epoch {best.best['epoch']}")
    if best.checkpoint is not None:
        say(f"checkpoint: {best.checkpoint}")
        say(f'load it: torch.load("{best.checkpoint}")["model_state_dict"], see README')
    config = SweepLayout(outcome.directory).best_config
    say(f"train the best config again: python -m trainable {shlex.quote(str(config))}")
    return SOME_FAILED if failed else 0


@main.command()
@click.argument("search_file", type=click.Path(path_type=Path))
@_exits
def validate(search_file: Path) -> int:
    """Checks SEARCH_FILE and the training config it names; starts nothing.

    Example: sweep validate configs/search.yaml
    """
    from sweeps.spec import load_search

    spec = load_search(search_file)
    say(f"{search_file}: good; {spec.tune.num_samples} trials over {len(spec.space)} keys")
    return 0
