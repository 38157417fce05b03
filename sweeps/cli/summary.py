"""Prints the summary of a sweep that has finished or is paused."""

from __future__ import annotations

from pathlib import Path

from sweeps.cli.tables import configurations_table, pareto_table, ranking_table
from sweeps.results.aggregate import pareto_front, repeated_configurations
from sweeps.results.commands import describe_held, read_commands, trial_commands
from sweeps.results.outcome import Outcome
from sweeps.results.status import count_events, describe_stall
from sweeps.results.trial_results import describe_best, describe_missing_best
from sweeps.sweep_dir.layout import REPORT, SweepLayout
from sweeps.sweep_dir.records import describe_state
from sweeps.terminal.commands import quote_word, sweep_command
from sweeps.terminal.console import print_line, print_note, print_table, uri_of
from trainable.config.yaml_reader import read_yaml


def print_summary(outcome: Outcome) -> None:
    """Prints the ranked trials, the best checkpoint with its commands, and how to resume."""
    metric = outcome.metric
    for text in filter(None, (result.damage for result in outcome.results)):
        print_note(text)
    print_table(ranking_table(outcome.results, metric, outcome.epochs))
    configurations = repeated_configurations(outcome.results, metric)
    if configurations:
        print_table(configurations_table(configurations, metric))
    if len(outcome.metrics) > 1:
        front = pareto_front(outcome.results, outcome.metrics)
        print_table(pareto_table(front, outcome.metrics))
    failed = [result.record for result in outcome.results if result.record.state == "failed"]
    if failed:
        causes: dict[str, str] = {record.id: record.failures[-1].cause for record in failed}
        for line in describe_failed(outcome.directory, causes):
            print_line(line)
        print_line(f"  retry them:  {read_commands(outcome.directory).run_again('retry')}")
    _print_best(outcome)
    if outcome.paused is not None:
        if stall := _describe_stall(outcome):
            print_line(stall)
        held = [result.record.id for result in outcome.results if result.record.held]
        for line in describe_held(outcome.directory, held) if held else []:
            print_line(line)
        print_line(f"{describe_state('paused', outcome.paused)}; resume it with:")
        print_line(read_commands(outcome.directory).run_again("resume"))


def _describe_stall(outcome: Outcome) -> str | None:
    search = read_yaml(SweepLayout(outcome.directory).search_file).data
    events = count_events((result.record, len(result.rows)) for result in outcome.results)
    return describe_stall(outcome.record, search, events, running=False)


def describe_failed(directory: Path, causes: dict[str, str]) -> list[str]:
    """Returns the number of failed trials, and a command that shows the log of one per cause.

    Args:
        directory: The sweep directory.
        causes: Id of a failed trial -> cause of its last failure; at least one.
    """
    examples = {cause: trial for trial, cause in reversed(causes.items())}
    width = max(map(len, examples)) + 1
    return [
        f"{len(causes)} failed; read why:",
        *(
            f"  {f'{cause}:':<{width}}  {sweep_command('logs', directory, examples[cause])}"
            for cause in sorted(examples)
        ),
    ]


def _print_best(outcome: Outcome) -> None:
    metric = outcome.metric
    label = "best" if outcome.paused is None else "best so far"
    best = outcome.results[0] if outcome.results else None
    if best is None or best.best is None:
        epochs = sum(len(result.rows) for result in outcome.results)
        print_line(f"{label}: {describe_missing_best(epochs)}")
        return
    print_line(f"{label}: trial {best.record.id}, {describe_best(best.best, metric)}")
    commands = trial_commands(best)
    if best.checkpoint is not None:
        print_line(f"  score it on the test set:  {commands['eval']}")
        if "predict" in commands:
            print_line(f"  predict images with it:    {commands['predict']}")
        print_line(f"  export its model:          {commands['export-model']}")
        print_line(f"  train it further, alone:   {commands['restore']}")
    config, report = SweepLayout(outcome.directory).best_config, outcome.directory / REPORT
    if outcome.paused is None and report.exists():
        if uri_of(report) is None:
            print_line(f"  open the report:           {quote_word(report)}")
        else:
            command = sweep_command("report", outcome.directory, "--output", REPORT)
            print_line(f"  have the report here:      {command}")
    if config.exists():
        print_line(f"  train its config again:    {trial_commands(best, config)['train']}")
