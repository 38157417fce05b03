"""Values that change while trials train."""

import json
from pathlib import Path
from typing import Any

import pytest

from sweeps.results.loaded_sweep import LoadedSweep, load
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.ui.figures.base import pack
from sweeps.ui.figures.population import changing_keys, values_by_epoch
from tests.support.fake_sweeps import SPACE, FakeSweep, trial
from tests.support.figure_data import lines_of, unpack

RATE, NAME = "optimizer.learning_rate", "optimizer.name"


def write(directory: Path, key: str, values: list[Any]) -> LoadedSweep:
    """Writes a sweep whose trial 0 has these values, one for three epochs each."""
    space = {key: SPACE[key]}
    FakeSweep(directory, trials=2, space=space, states={0: "finished", 1: "finished"}).write()
    layout = SweepLayout(directory)
    record = layout.read_trials()[0]
    record.values = {key: values[0]}
    donor = trial(directory, 1).name
    record.lineage = [
        {"epoch": 3 * number, "donor": donor, "values": {key: value}}
        for number, value in enumerate(values[1:], start=1)
    ]
    layout.write_trial(record)
    return load(directory)


def test_a_value_changes_after_the_copy(tmp_path: Path) -> None:
    sweep = write(tmp_path / "sweep", RATE, [0.001, 0.01, 0.5])
    assert changing_keys(sweep) == [RATE]
    figure = values_by_epoch(sweep, RATE).figure
    assert figure is not None
    line = lines_of(figure)["0000aaaa"]
    assert unpack(line["y"]) == unpack(pack([0.001] * 3 + [0.01] * 3 + [0.5] * 3))
    assert figure["layout"]["yaxis"]["type"] == "log"
    other = sweep.find("0001").record.values[RATE]
    assert unpack(lines_of(figure)["0001aaaa"]["y"]) == unpack(pack([other] * 9))


def test_the_values_in_the_rows_count_more(tmp_path: Path) -> None:
    write(tmp_path / "sweep", RATE, [0.1, 0.12])
    path = trial(tmp_path / "sweep", 0) / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["values"] = {RATE: 0.11}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    figure = values_by_epoch(load(tmp_path / "sweep"), RATE).figure
    assert figure is not None
    values = unpack(lines_of(figure)["0000aaaa"]["y"])
    assert values[:4] == pytest.approx([0.11, 0.1, 0.1, 0.12])


def test_a_category_is_a_category(tmp_path: Path) -> None:
    sweep = write(tmp_path / "sweep", NAME, ["sgd", "adamw"])
    figure = values_by_epoch(sweep, NAME).figure
    assert figure is not None
    assert lines_of(figure)["0000aaaa"]["y"] == ["sgd"] * 3 + ["adamw"] * 6
    assert figure["layout"]["yaxis"]["type"] == "category"


def test_without_changes_there_are_no_keys(tmp_path: Path) -> None:
    assert changing_keys(load(FakeSweep(tmp_path / "sweep", trials=2).write())) == []
