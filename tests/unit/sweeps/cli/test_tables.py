"""The terminal's table of ranked trials."""

import re
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from sweeps.cli.tables import MAX_TRIALS, ranking_table
from sweeps.results.trial_results import TrialResult, best_row
from sweeps.sweep_dir.records import TrialRecord, TrialState
from sweeps.terminal.console import print_table

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


def render(*results: TrialResult, width: int = 160) -> list[str]:
    """Returns the lines of the table on a terminal with this number of columns."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as output:
        patch.setenv("COLUMNS", str(width))
        print_table(ranking_table(list(results), "val_acc", 5))
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    return [" ".join(line.split()) for line in lines]


def test_the_table_shows_rank_state_best_epoch_epochs_and_values() -> None:
    lines = render(
        trial(0, {LR: 0.00123456, NAME: "adamw"}, [0.25, 0.5, 0.375], "stopped"),
        trial(1, {LR: 0.5, NAME: "sgd"}, []),
    )
    assert lines[0] == "trials by val_acc of their best epoch"
    row = lines.index("best at")
    assert lines[row + 1] == "# trial state val_acc epoch epochs learning_rate name"
    assert "1 id0 stopped 0.5000 2 3/5 0.00123 adamw" in lines
    assert "2 id1 finished - - 0/5 0.5 sgd" in lines


def test_the_total_of_a_paused_trial_is_the_number_of_its_epochs() -> None:
    paused = trial(0, {"training.epochs": 7}, [0.25], "paused")
    reopened = trial(1, {}, [0.125], "paused", changes={"training.epochs": 9})
    lines = render(paused, reopened)
    assert "1 id0 paused 0.2500 1 1/7 7" in lines
    assert "2 id1 paused 0.1250 1 1/9" in lines


def test_the_table_shows_the_values_that_a_trial_has_copied() -> None:
    lineage = [{"epoch": 1, "donor": "t0", "values": {LR: 0.25}}]
    lines = render(trial(0, {LR: 0.5}, [0.5], lineage=lineage))
    assert "1 id0 finished 0.5000 1 1/5 0.25" in lines


def test_headings_too_long_for_the_terminal_are_broken_at_underscores() -> None:
    lines = render(trial(0, {LR: 0.00123456, NAME: "adamw"}, [0.25]), width=66)
    row = lines.index("best at learning_")
    assert lines[row + 1] == "# trial state val_acc epoch epochs rate name"


def test_keys_with_the_same_last_part_are_written_in_full() -> None:
    head = "# trial state val_acc epoch epochs learning_rate optimizer.name scheduler.name"
    values = {LR: 0.5, NAME: "adamw", "scheduler.name": "none"}
    assert head in render(trial(0, values, [0.25]))


def test_values_that_do_not_fit_the_terminal_are_counted() -> None:
    values = {NAME: "adamw", "scheduler.name": "none", LR: 0.5}
    lines = render(trial(0, values, [0.25]), width=58)
    row = lines.index("best at optimizer.")
    assert lines[row + 1] == "# trial state val_acc epoch epochs name"
    assert "1 id0 finished 0.2500 1 1/5 adamw" in lines
    assert "2 more values per trial in trials.csv" in lines


def test_a_long_value_is_shortened_and_hides_no_other() -> None:
    long, short = "own_models:" + "x" * 60 + "_end", "own_models:a"
    trials = [
        trial(n, {"model.name": name, LR: 0.5}, [0.25]) for n, name in enumerate([long, short])
    ]
    lines = render(*trials, width=80)
    (row,) = [line for line in lines if line.startswith("1 id0")]
    assert re.fullmatch(r"1 id0 finished 0\.2500 1 1/5 own_models:x*…x+_end 0\.5", row)
    assert "2 id1 finished 0.2500 1 1/5 own_models:a 0.5" in lines


def test_a_long_table_ends_with_the_number_of_further_trials() -> None:
    count = MAX_TRIALS + 2
    lines = render(*(trial(number, {LR: 0.5}, [0.5]) for number in range(count)))
    assert "2 more trials in trials.csv" in lines
    shown = [line.split()[1] for line in lines if " finished " in line]
    assert shown == [f"id{number}" for number in range(MAX_TRIALS)]
