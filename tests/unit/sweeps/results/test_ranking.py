"""What a sweep's end leaves to read: `trials.csv`, `best_config.yaml` and the table."""

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sweeps.results.ranking import ROWS_SHOWN, table, write_files
from sweeps.results.trial_results import TrialResult, read_results
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import TrialRecord, TrialState
from trainable.artifacts.metrics import MetricsFile
from trainable.config import TrainConfig, load_config
from trainable.config.yaml_reader import dump_yaml

LR, NAME, MOMENTUM = "optimizer.learning_rate", "optimizer.name", "optimizer.momentum"
HEAD = ["rank", "trial", "number", "state", "val_acc", "best_epoch", "last_val_acc", "epochs"]


@pytest.fixture
def layout(tmp_path: Path) -> SweepLayout:
    return SweepLayout(tmp_path)


@pytest.fixture
def trial(layout: SweepLayout, tiny_config: Callable[..., TrainConfig]) -> Callable[..., Path]:
    """Writes a trial of these values with a config, a `best.pt` and an accuracy an epoch."""

    def write(
        number: int,
        values: Mapping[str, Any],
        accuracies: list[float],
        state: TrialState = "finished",
        **more: Any,
    ) -> Path:
        record = TrialRecord(f"id{number}", number, f"t{number}", dict(values), state, **more)
        layout.write_trial(record)
        directory = layout.directory / record.directory
        config = tiny_config(optimizer={"learning_rate": values[LR]})
        (directory / "config.yaml").write_text(dump_yaml(config.to_dict()))
        for epoch, accuracy in enumerate(accuracies, 1):
            MetricsFile(directory / "metrics.jsonl").append({"epoch": epoch, "val_acc": accuracy})
        if accuracies:
            (directory / "checkpoints").mkdir()
            (directory / "checkpoints" / "best.pt").touch()
        return directory

    return write


def written(layout: SweepLayout) -> list[list[str]]:
    """The lines of `trials.csv` as it is written for the layout."""
    write_files(layout, results(layout), {"val_acc": "max"})
    with layout.trials_csv.open(newline="") as file:
        return list(csv.reader(file))


def results(layout: SweepLayout) -> list[TrialResult]:
    return read_results(layout.directory, "val_acc", "max")


def drawn(layout: SweepLayout) -> list[str]:
    """The lines of the table, with one blank between its cells."""
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table(results(layout), "val_acc"))
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_trials_csv_has_a_line_a_trial_best_first(
    layout: SweepLayout, trial: Callable[..., Path]
) -> None:
    trial(0, {LR: 0.5, NAME: "adamw"}, [0.25, 0.5, 0.375])
    trial(1, {LR: 0.125, NAME: "sgd", MOMENTUM: 0.9}, [0.75, math.nan], "failed")
    trial(2, {LR: 0.25, NAME: "sgd", MOMENTUM: 0.5}, [], "paused")
    head, *lines = written(layout)
    assert head == [*HEAD, LR, NAME, MOMENTUM, "directory", "checkpoint"]
    assert lines == [
        ["1", "id1", "1", "failed", "0.75", "1", "nan", "2", "0.125", "sgd", "0.9", "t1",
         "t1/checkpoints/best.pt"],
        ["2", "id0", "0", "finished", "0.5", "2", "0.375", "3", "0.5", "adamw", "", "t0",
         "t0/checkpoints/best.pt"],
        ["3", "id2", "2", "paused", "", "", "", "0", "0.25", "sgd", "0.5", "t2", ""],
    ]  # fmt: skip


def test_the_values_are_those_that_hold_now(
    layout: SweepLayout, trial: Callable[..., Path]
) -> None:
    lineage = [{"epoch": 1, "donor": "t0", "values": {LR: 0.25}}]
    trial(0, {LR: 0.5}, [0.5], lineage=lineage)
    head, line = written(layout)
    assert line[head.index(LR)] == "0.25"
    assert "1 id0 finished 0.5000 1 1 0.25" in drawn(layout)


def test_the_best_config_is_the_best_trials_and_trains_again(
    layout: SweepLayout, trial: Callable[..., Path]
) -> None:
    trial(0, {LR: 0.5}, [0.9, 0.1])
    best = trial(1, {LR: 0.125}, [0.2, 0.95])
    written(layout)
    assert layout.best_config.read_bytes() == (best / "config.yaml").read_bytes()
    assert load_config(layout.best_config).optimizer.learning_rate == 0.125

    trial(2, {LR: 0.25}, [0.99])
    written(layout)
    assert load_config(layout.best_config).optimizer.learning_rate == 0.25


def test_without_a_completed_epoch_there_is_no_best_config(
    layout: SweepLayout, trial: Callable[..., Path]
) -> None:
    trial(0, {LR: 0.5}, [math.nan])
    assert len(written(layout)) == 2
    assert not layout.best_config.exists()


def test_a_sweep_without_trials_leaves_the_head(layout: SweepLayout) -> None:
    assert written(layout) == [[*HEAD, "directory", "checkpoint"]]
    assert not layout.best_config.exists()


def test_a_failed_write_leaves_the_last_files_whole(
    layout: SweepLayout, trial: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    trial(0, {LR: 0.5}, [0.5])
    written(layout)
    before = {p: p.read_bytes() for p in (layout.trials_csv, layout.best_config)}
    trial(1, {LR: 0.25}, [0.9])

    def no_space(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        write_files(layout, results(layout), {"val_acc": "max"})
    assert {path: path.read_bytes() for path in before} == before


def test_a_value_with_a_comma_stays_one_column(
    layout: SweepLayout, trial: Callable[..., Path]
) -> None:
    trial(0, {LR: 0.5, "optimizer.betas": [0.9, 0.99]}, [0.5])
    head, line = written(layout)
    assert line[head.index("optimizer.betas")] == "[0.9, 0.99]"
    assert len(line) == len(head)


def test_the_table_shows_rank_state_best_epoch_and_values(
    layout: SweepLayout, trial: Callable[..., Path]
) -> None:
    trial(0, {LR: 0.00123456, NAME: "adamw"}, [0.25, 0.5, 0.375], "stopped")
    trial(1, {LR: 0.5, NAME: "sgd"}, [])
    lines = drawn(layout)
    assert lines[0] == "trials by val_acc of their best epoch"
    assert "# trial state val_acc epoch of learning_rate name" in lines
    assert "1 id0 stopped 0.5000 2 3 0.00123 adamw" in lines
    assert "2 id1 finished - - - 0.5 sgd" in lines


def test_names_that_are_too_long_for_the_terminal_are_broken_at_underscores(
    layout: SweepLayout, trial: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    trial(0, {LR: 0.00123456, NAME: "adamw"}, [0.25])
    monkeypatch.setattr("sweeps.results.ranking.console", Console(width=64))
    lines = drawn(layout)
    at = lines.index("learning_")
    assert lines[at + 1] == "# trial state val_acc epoch of rate name"


def test_names_that_end_the_same_are_written_in_full(
    layout: SweepLayout, trial: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.results.ranking.console", Console(width=120))
    trial(0, {LR: 0.5, NAME: "adamw", "scheduler.name": "none"}, [0.25])
    head = "# trial state val_acc epoch of learning_rate optimizer.name scheduler.name"
    assert head in drawn(layout)


def test_values_that_no_terminal_has_room_for_are_counted(
    layout: SweepLayout, trial: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    trial(0, {NAME: "adamw", "scheduler.name": "none", LR: 0.5}, [0.25])
    monkeypatch.setattr("sweeps.results.ranking.console", Console(width=54))
    lines = drawn(layout)
    assert "# trial state val_acc epoch of name" in lines
    assert lines[lines.index("# trial state val_acc epoch of name") - 1] == "optimizer."
    assert "1 id0 finished 0.2500 1 1 adamw" in lines
    assert "2 more values of each in trials.csv" in lines


def test_a_long_table_ends_with_how_many_more_there_are(
    layout: SweepLayout, trial: Callable[..., Path]
) -> None:
    for number in range(ROWS_SHOWN + 2):
        trial(number, {LR: 0.5}, [number / 100])
    lines = drawn(layout)
    assert "2 more in trials.csv" in lines
    shown = [line.split()[1] for line in lines if " finished " in line]
    assert shown == [f"id{number}" for number in range(ROWS_SHOWN + 1, 1, -1)]
