"""Prints the summary of a sweep that has finished or is paused."""

from __future__ import annotations

import shlex

from sweeps.cli.tables import configurations_table, pareto_table, ranking_table
from sweeps.results.aggregate import pareto_front, repeated_configurations
from sweeps.results.outcome import Outcome
from sweeps.sweep_dir.layout import REPORT, SweepLayout
from sweeps.terminal.console import print_line, print_table


def print_summary(outcome: Outcome) -> None:
    """Prints the ranked trials, the best checkpoint with its commands, and how to resume."""
    metric = outcome.metric
    print_table(ranking_table(outcome.results, metric))
    configurations = repeated_configurations(outcome.results, metric)
    if configurations:
        print_table(configurations_table(configurations, metric))
    if len(outcome.metrics) > 1:
        front = pareto_front(outcome.results, outcome.metrics)
        print_table(pareto_table(front, outcome.metrics))
    failed = [result.record for result in outcome.results if result.record.state == "failed"]
    kept = _trials_are_kept(outcome)
    if failed:
        causes = sorted({record.failures[-1].cause for record in failed})
        source = "trial.json of each trial" if kept else "the output above"
        print_line(f"{len(failed)} failed ({', '.join(causes)}); see {source}")
        if kept:
            print_line(f"retry them:  sweep retry {shlex.quote(str(outcome.directory))}")
    _print_best(outcome)
    if outcome.paused is not None and kept:
        print_line(f"paused ({outcome.paused}); resume it with:")
        print_line(f"sweep resume {shlex.quote(str(outcome.directory))}")
    elif outcome.paused is not None:
        print_line(f"ended before it finished ({outcome.paused})")
        print_line("it cannot be resumed: checkpoint.enabled is false")


def write_final_report(outcome: Outcome) -> None:
    """Writes `report.html` of a finished sweep that kept its trials.

    Nothing depends on the report: any error in drawing it is printed, and the sweep counts as
    finished.
    """
    if outcome.paused is not None or not _trials_are_kept(outcome):
        return
    from sweeps.report.page import write_report

    try:
        write_report(outcome.directory)
    except Exception as error:  # noqa: BLE001 - see above
        print_line(f"note: {REPORT} was not written: {type(error).__name__}: {error}")


def _trials_are_kept(outcome: Outcome) -> bool:
    """Returns whether the trial directories exist; without `checkpoint.enabled` they do not."""
    return all(result.directory.exists() for result in outcome.results)


def _print_best(outcome: Outcome) -> None:
    metric = outcome.metric
    label = "best" if outcome.paused is None else "best so far"
    best = outcome.results[0] if outcome.results else None
    if best is None or best.best is None:
        print_line(f"{label}: no trial has completed an epoch")
        return
    value, epoch = best.best[metric], best.best["epoch"]
    print_line(f"{label}: trial {best.record.id}, {metric} {value:.4f} at epoch {epoch}")
    if best.checkpoint is not None:
        path = shlex.quote(str(best.checkpoint))
        print_line(f"  score it on the test set:  sweep eval {path}")
        print_line(f"  train it further, alone:   sweep restore {path} --epochs N")
    config, report = SweepLayout(outcome.directory).best_config, outcome.directory / REPORT
    if outcome.paused is None and report.exists():
        print_line(f"  open the report:           {shlex.quote(str(report))}")
    if config.exists():
        print_line(f"  train its config again:    python -m trainable {shlex.quote(str(config))}")
