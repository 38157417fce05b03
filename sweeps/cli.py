"""The `sweep` command.

Exit codes: 0 finished, 1 finished with failed trials, 2 bad input, 3 paused by its time budget or
by `sweep stop`, 130 paused by SIGINT, 143 paused by SIGTERM.

Ray and torch are imported by the verbs that need them, so that `--help` is there at once.
"""

from __future__ import annotations

import click

from sweeps.verbs import (
    checking,
    cluster,
    listing,
    one_trial,
    outputs,
    planning,
    reading,
    running,
    single,
)

VERBS = (
    running.run,
    running.resume,
    running.continue_,
    running.retry,
    running.stop,
    cluster.submit,
    cluster.jobs,
    single.restore,
    single.eval_,
    checking.validate,
    checking.schema,
    planning.plan,
    listing.list_,
    reading.status,
    reading.best,
    one_trial.show_,
    one_trial.logs,
    one_trial.compare,
    outputs.plot,
    outputs.report,
    outputs.export,
    outputs.gc,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Hyperparameter sweeps for PyTorch image classifiers on Ray Tune."""


for _verb in VERBS:
    main.add_command(_verb)
