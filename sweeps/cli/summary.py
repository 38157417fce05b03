"""What the terminal shows when a sweep has finished or is paused."""

from __future__ import annotations

import shlex

from sweeps.results.aggregate import (
    configurations_table,
    pareto_front,
    pareto_table,
    repeated_configurations,
)
from sweeps.results.outcome import Outcome
from sweeps.results.ranking import table
from sweeps.sweep_dir.layout import REPORT, SweepLayout
from sweeps.terminal.console import print_line, print_table


def print_ending(outcome: Outcome) -> None:
    """The ranked trials, where the best model lies, how to use it, and how to go on."""
    metric = outcome.metric
    print_table(table(outcome.results, metric))
    copied = repeated_configurations(outcome.results, metric)
    if copied:
        print_table(configurations_table(copied, metric))
    if len(outcome.metrics) > 1:
        front = pareto_front(outcome.results, outcome.metrics)
        print_table(pareto_table(front, outcome.metrics))
    failed = [result.record for result in outcome.results if result.record.state == "failed"]
    kept = _are_kept(outcome)
    if failed:
        causes = sorted({record.failures[-1].cause for record in failed})
        where = "trial.json of each trial" if kept else "above"
        print_line(f"{len(failed)} failed ({', '.join(causes)}); why: {where}")
        if kept:
            print_line(f"to try them again: sweep retry {shlex.quote(str(outcome.directory))}")
    _print_best(outcome)
    if outcome.paused is not None and kept:
        print_line(f"paused ({outcome.paused}), not finished; to go on:")
        print_line(f"sweep resume {shlex.quote(str(outcome.directory))}")
    elif outcome.paused is not None:
        print_line(f"ended early ({outcome.paused}), not finished")
        print_line("checkpoint.enabled is false: there is nothing to go on from")


def write_last_report(outcome: Outcome) -> None:
    """Writes `report.html` of a finished sweep that has kept its trials.

    It is the last of all files, and nothing depends on it: whatever goes wrong in drawing charts
    is said, and the sweep has finished all the same.
    """
    if outcome.paused is not None or not _are_kept(outcome):
        return
    from sweeps.report.page import write_report

    try:
        write_report(outcome.directory)
    except Exception as error:  # noqa: BLE001 - see above
        print_line(f"note: no {REPORT}: {type(error).__name__}: {error}")


def _are_kept(outcome: Outcome) -> bool:
    """Whether the trials' directories are there: not with `checkpoint.enabled: false`."""
    return all(result.directory.exists() for result in outcome.results)


def _print_best(outcome: Outcome) -> None:
    metric = outcome.metric
    name = "best" if outcome.paused is None else "best so far"
    best = outcome.results[0] if outcome.results else None
    if best is None or best.best is None:
        print_line(f"{name}: no trial has completed an epoch")
        return
    value, epoch = best.best[metric], best.best["epoch"]
    print_line(f"{name}: trial {best.record.id}, {metric} {value:.4f} at epoch {epoch}")
    if best.checkpoint is not None:
        path = shlex.quote(str(best.checkpoint))
        print_line(f"  score it on the test set:  sweep eval {path}")
        print_line(f"  train it further, alone:   sweep restore {path} --epochs N")
    config, report = SweepLayout(outcome.directory).best_config, outcome.directory / REPORT
    if outcome.paused is None and report.exists():
        print_line(f"  see it all in a browser:   {shlex.quote(str(report))}")
    if config.exists():
        print_line(f"  train its config anew:     python -m trainable {shlex.quote(str(config))}")
