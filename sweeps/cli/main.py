"""The `sweep` command.

Exit codes: 0 finished, 1 finished with failed trials or unreadable images, 2 bad input, 3 paused
by its time budget or by `sweep stop`, 4 paused because Ray has died, 129, 130 and 143 paused by
SIGHUP, SIGINT and SIGTERM.

Commands import Ray, torch and Optuna only when they need them, so that `--help` is fast.
"""

from __future__ import annotations

import click

from sweeps.cli import checkpoint, export, jobs, plan, run, status, trial, validate
from trainable.artifacts.trial_log import replace_unencodable

COMMANDS = (
    run.run,
    run.resume,
    run.continue_,
    run.retry,
    run.stop,
    jobs.submit,
    jobs.jobs,
    checkpoint.restore,
    checkpoint.eval_,
    checkpoint.predict,
    checkpoint.export_model,
    validate.validate,
    validate.schema,
    plan.plan,
    plan.preview,
    plan.data,
    status.list_,
    status.status,
    status.best,
    trial.show_,
    trial.logs,
    trial.compare,
    export.plot,
    export.report,
    export.export,
    export.gc,
)


class _InOrder(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the commands as `COMMANDS` has them, by what they are for."""
        del ctx
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Hyperparameter sweeps for PyTorch image classifiers on Ray Tune.

    Begin with `sweep run FILE`, where FILE describes the search, and look at the result with
    `sweep best DIRECTORY`. `sweep COMMAND --help` has an example of each command.
    """
    replace_unencodable()


for _command in COMMANDS:
    main.add_command(_command)
