"""The terminal's table of ranked trials."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sweeps.cli.tables import MAX_TRIALS, ranking_table
from sweeps.results.trial_results import TrialResult, best_row
from sweeps.sweep_dir.records import TrialRecord, TrialState

LR, NAME = "optimizer.learning_rate", "optimizer.name"


def trial(
    number: int,
    values: Mapping[str, Any],
    accuracies: list[float],
    state: TrialState = "finished",
    **fields: Any,
) -> TrialResult:
    """Returns a trial with these sampled values and one epoch per accuracy."""
    record = TrialRecord(f"id{number}", number, f"t{number}", dict(values), state, **fields)
    rows = [{"epoch": epoch, "val_acc": acc} for epoch, acc in enumerate(accuracies, 1)]
    return TrialResult(record, Path(record.directory), rows, best_row(rows, "val_acc", "max"))


def render(*results: TrialResult) -> list[str]:
    """Returns the lines of the table with single spaces between its cells."""
    console = Console(width=120)
    with console.capture() as capture:
        console.print(ranking_table(list(results), "val_acc"))
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_the_table_shows_rank_state_best_epoch_and_values() -> None:
    lines = render(
        trial(0, {LR: 0.00123456, NAME: "adamw"}, [0.25, 0.5, 0.375], "stopped"),
        trial(1, {LR: 0.5, NAME: "sgd"}, []),
    )
    assert lines[0] == "trials by val_acc of their best epoch"
    assert "# trial state val_acc epoch of learning_rate name" in lines
    assert "1 id0 stopped 0.5000 2 3 0.00123 adamw" in lines
    assert "2 id1 finished - - - 0.5 sgd" in lines


def test_the_table_shows_the_values_that_a_trial_has_copied() -> None:
    lineage = [{"epoch": 1, "donor": "t0", "values": {LR: 0.25}}]
    assert "1 id0 finished 0.5000 1 1 0.25" in render(trial(0, {LR: 0.5}, [0.5], lineage=lineage))


def test_headings_too_long_for_the_terminal_are_broken_at_underscores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sweeps.cli.tables.console", Console(width=64))
    lines = render(trial(0, {LR: 0.00123456, NAME: "adamw"}, [0.25]))
    row = lines.index("learning_")
    assert lines[row + 1] == "# trial state val_acc epoch of rate name"


def test_keys_with_the_same_last_part_are_written_in_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sweeps.cli.tables.console", Console(width=120))
    head = "# trial state val_acc epoch of learning_rate optimizer.name scheduler.name"
    values = {LR: 0.5, NAME: "adamw", "scheduler.name": "none"}
    assert head in render(trial(0, values, [0.25]))


def test_values_that_do_not_fit_the_terminal_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.cli.tables.console", Console(width=54))
    lines = render(trial(0, {NAME: "adamw", "scheduler.name": "none", LR: 0.5}, [0.25]))
    assert "# trial state val_acc epoch of name" in lines
    assert lines[lines.index("# trial state val_acc epoch of name") - 1] == "optimizer."
    assert "1 id0 finished 0.2500 1 1 adamw" in lines
    assert "2 more values per trial in trials.csv" in lines


def test_a_long_table_ends_with_the_number_of_further_trials() -> None:
    count = MAX_TRIALS + 2
    lines = render(*(trial(number, {LR: 0.5}, [0.5]) for number in range(count)))
    assert "2 more trials in trials.csv" in lines
    shown = [line.split()[1] for line in lines if " finished " in line]
    assert shown == [f"id{number}" for number in range(MAX_TRIALS)]
