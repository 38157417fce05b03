"""`trials.csv` and `best_config.yaml`, which a sweep writes at its end."""

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sweeps.results.aggregate import repeated_configurations
from sweeps.results.ranking import write_files
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
    """Writes a trial with these values, a config, a `best.pt` and one epoch per accuracy."""

    def write(
        number: int,
        values: Mapping[str, Any],
        accuracies: list[float],
        state: TrialState = "finished",
        **fields: Any,
    ) -> Path:
        record = TrialRecord(f"id{number}", number, f"t{number}", dict(values), state, **fields)
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


def write_and_read(layout: SweepLayout) -> list[list[str]]:
    """Writes the files; returns the rows of `trials.csv`."""
    write_files(layout, results(layout), {"val_acc": "max"})
    with layout.trials_csv.open(newline="") as file:
        return list(csv.reader(file))


def results(layout: SweepLayout) -> list[TrialResult]:
    return read_results(layout.directory, "val_acc", "max")


def test_trials_csv_has_one_line_per_trial_best_first(
    layout: SweepLayout, trial: Callable[..., Path]
) -> None:
    trial(0, {LR: 0.5, NAME: "adamw"}, [0.25, 0.5, 0.375])
    trial(1, {LR: 0.125, NAME: "sgd", MOMENTUM: 0.9}, [0.75, math.nan], "failed")
    trial(2, {LR: 0.25, NAME: "sgd", MOMENTUM: 0.5}, [], "paused")
    head, *lines = write_and_read(layout)
    assert head == [*HEAD, LR, NAME, MOMENTUM, "directory", "checkpoint"]
    assert lines == [
        ["1", "id1", "1", "failed", "0.75", "1", "nan", "2", "0.125", "sgd", "0.9", "t1",
         "t1/checkpoints/best.pt"],
        ["2", "id0", "0", "finished", "0.5", "2", "0.375", "3", "0.5", "adamw", "", "t0",
         "t0/checkpoints/best.pt"],
        ["3", "id2", "2", "paused", "", "", "", "0", "0.25", "sgd", "0.5", "t2", ""],
    ]  # fmt: skip


def test_values_that_a_trial_has_copied_replace_the_sampled_ones(
    layout: SweepLayout, trial: Callable[..., Path]
) -> None:
    lineage = [{"epoch": 1, "donor": "t0", "values": {LR: 0.25}}]
    trial(0, {LR: 0.5}, [0.5], lineage=lineage)
    head, line = write_and_read(layout)
    assert line[head.index(LR)] == "0.25"


def test_the_best_config_is_that_of_the_best_trial_and_can_be_loaded(
    layout: SweepLayout, trial: Callable[..., Path]
) -> None:
    trial(0, {LR: 0.5}, [0.9, 0.1])
    best = trial(1, {LR: 0.125}, [0.2, 0.95])
    write_and_read(layout)
    assert layout.best_config.read_bytes() == (best / "config.yaml").read_bytes()
    assert load_config(layout.best_config).optimizer.learning_rate == 0.125

    trial(2, {LR: 0.25}, [0.99])
    write_and_read(layout)
    assert load_config(layout.best_config).optimizer.learning_rate == 0.25


def test_the_values_of_a_population_are_those_of_the_best_epoch(
    layout: SweepLayout, trial: Callable[..., Path]
) -> None:
    """The trial copied another one after epoch 1 and has been worse since."""
    exploited = {LR: 0.25, NAME: "adam"}
    lineage = [{"epoch": 1, "donor": "t1", "values": exploited}]
    used = {LR: 0.5, NAME: "sgd", MOMENTUM: 0.75}
    directory = trial(0, used, [], lineage=lineage)
    config = load_config(directory / "config.yaml").to_dict()
    changed = {**config, "optimizer": {"name": "adam", "learning_rate": 0.25, "betas": [0.8, 0.9]}}
    (directory / "config.yaml").write_text(dump_yaml(changed))
    metrics = MetricsFile(directory / "metrics.jsonl")
    metrics.append({"epoch": 1, "val_acc": 0.9, "values": used})
    metrics.append({"epoch": 2, "val_acc": 0.4, "values": exploited})
    head, line = write_and_read(layout)
    assert [line[head.index(key)] for key in (LR, NAME, MOMENTUM)] == ["0.5", "sgd", "0.75"]
    best = load_config(layout.best_config).to_dict()
    assert best["optimizer"] == {**config["optimizer"], **{"learning_rate": 0.5, "momentum": 0.75}}
    assert {**best, "optimizer": None} == {**config, "optimizer": None}


def test_without_a_completed_epoch_there_is_no_best_config(
    layout: SweepLayout, trial: Callable[..., Path]
) -> None:
    trial(0, {LR: 0.5}, [math.nan])
    assert len(write_and_read(layout)) == 2
    assert not layout.best_config.exists()


def test_without_trials_only_the_head_is_written(layout: SweepLayout) -> None:
    assert write_and_read(layout) == [[*HEAD, "directory", "checkpoint"]]
    assert not layout.best_config.exists()


def test_a_failed_write_leaves_the_previous_files_intact(
    layout: SweepLayout, trial: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    trial(0, {LR: 0.5}, [0.5])
    write_and_read(layout)
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
    head, line = write_and_read(layout)
    assert line[head.index("optimizer.betas")] == "[0.9, 0.99]"
    assert len(line) == len(head)


def test_the_fold_of_each_trial_of_a_configuration_is_a_column(layout, trial):
    for number, accuracy in enumerate((0.9, 0.3, 0.5, 0.6)):
        configuration, repeat = divmod(number, 2)
        fold = {"changes": {"dataset.fold": repeat}}
        trial(number, {LR: 0.1}, [accuracy], configuration=configuration, repeat=repeat, **fold)
    head, *rows = write_and_read(layout)
    table = [dict(zip(head, row, strict=True)) for row in rows]
    assert [row["dataset.fold"] for row in table] == [row["repeat"] for row in table]
    ranked = repeated_configurations(results(layout), "val_acc")
    assert {c.number: c.mean for c in ranked} == {0: pytest.approx(0.6), 1: pytest.approx(0.55)}
