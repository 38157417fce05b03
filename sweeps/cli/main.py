"""The `sweep` command.

`sweeps.terminal.exit_codes` says what its exit codes mean.

Commands import Ray, torch and Optuna only when they need them, so that `--help` is fast.
"""

from __future__ import annotations

import click

from sweeps.cli import checkpoint, export, jobs, plan, run, status, trial, validate
from sweeps.cli.live import steer, ui
from sweeps.cli.setup import completion, doctor, init
from sweeps.cli.setup.verbs import VerbGroup
from sweeps.terminal.console import print_line
from sweeps.terminal.versions import describe_versions
from trainable.artifacts.trial_log import replace_unencodable

SECTIONS = {
    "Run": (
        init.init,
        validate.validate,
        plan.data,
        plan.preview,
        plan.plan,
        run.run,
    ),
    "Look": (
        status.list_,
        status.status,
        status.best,
        trial.show_,
        trial.logs,
        trial.compare,
        export.plot,
        export.report,
        ui.ui,
    ),
    "Go on": (
        run.pause,
        run.resume,
        run.extend,
        run.retry,
        steer.set_,
    ),
    "One trial": (
        steer.trial,
        checkpoint.restore,
        checkpoint.eval_,
        checkpoint.predict,
        checkpoint.export_model,
    ),
    "Cluster": (jobs.submit, jobs.jobs),
    "Files and setup": (
        export.export,
        export.gc,
        validate.schema,
        doctor.doctor,
        completion.completion,
    ),
}
"""Title of a section of `sweep --help` -> its commands."""
ALIASES = {"stop": "pause", "continue": "extend"}


def _print_versions(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        print_line(describe_versions())
        context.exit()


@click.group(cls=VerbGroup, sections=SECTIONS, aliases=ALIASES)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_versions,
    help="Print the versions of tune-sweeps, Python, torch and Ray.",
)
def main() -> None:
    """Hyperparameter sweeps for PyTorch image classifiers on Ray Tune.

    Begin with `sweep run FILE`, where FILE describes the search, and look at the result with
    `sweep best DIRECTORY`. `sweep COMMAND --help` has an example of each command.
    """
    replace_unencodable()
