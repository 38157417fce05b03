"""The JSON object that the report's script draws from."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from sweeps.report.data.island import report_data, to_island
from sweeps.report.page import write_report
from sweeps.results.commands import trial_commands
from sweeps.results.loaded_sweep import load
from tests.support.fake_sweeps import FakeSweep, trial


def read_island(page: Path) -> dict[str, Any]:
    """Returns the data as a browser reads it."""
    (text,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>',
        page.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    return dict(json.loads(text))


def test_the_page_has_all_trials_best_first_with_their_keys_and_curves(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep").write()
    sweep, data = load(directory), read_island(write_report(directory))
    assert [item["id"] for item in data["trials"]] == [r.record.id for r in sweep.results]
    keys = {item["key"]: item for item in data["keys"]}
    assert list(keys) == sweep.sampled_keys
    assert {key: (item["log"], item["base"], item["choices"]) for key, item in keys.items()} == {
        "optimizer.name": (False, "sgd", ["sgd", "adamw"]),
        "optimizer.learning_rate": (True, 0.1, None),
        "optimizer.momentum": (False, 0.9, None),
        "training.batch_size": (False, 64, [32, 64, 128]),
    }
    best = data["curves"][0]["val_acc"]
    assert best == [float(f"{row['val_acc']:.5g}") for row in sweep.results[0].rows]
    assert data["rungs"] == sweep.rungs


def test_the_commands_of_a_trial_are_those_that_its_files_give(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "a @trial sweep").write()
    sweep = load(directory)
    data = report_data(sweep, [])
    expected = trial_commands(sweep.results[0], absolute=True)
    record = data["trials"][0]
    words = {**record, "epochs": str(2 * record["planned"])}
    for verb in ("eval", "restore", "export-model"):
        _, parts = data["commands"][verb]
        command = "".join(words[part] if n % 2 else part for n, part in enumerate(parts))
        assert command == expected[verb]


def test_donors_of_copies_are_positions_in_the_list(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep").write()
    path = trial(directory, 1) / "trial.json"
    record = json.loads(path.read_text())
    steps = [
        {"epoch": 1, "donor": trial(directory, 7).name, "values": record["values"]},
        {"epoch": 2, "donor": "gone", "values": record["values"]},
    ]
    path.write_text(json.dumps({**record, "lineage": steps}))
    data = report_data(load(directory), [])
    copies = next(item for item in data["trials"] if item["id"] == "0001aaaa")["copied"]
    assert data["trials"][copies[0][1]]["id"] == "0007aaaa"
    assert copies[1] == [2, "gone"]


def test_configurations_and_front_name_trials_by_position(tmp_path: Path) -> None:
    tune = {"repeats": 3, "num_samples": 4, "pareto": {"epoch_s": "min"}}
    sweep = load(FakeSweep(tmp_path / "sweep", tune=tune).write())
    data = report_data(sweep, [])
    assert data["objectives"] == [
        {"name": "val_acc", "mode": "max"}, {"name": "epoch_s", "mode": "min"},
    ]  # fmt: skip
    for shown, item in zip(data["configurations"], sweep.configurations, strict=True):
        assert (shown["mean"], shown["sd"]) == (item.mean, item.sd)
        best = [data["trials"][index]["best"] for index in shown["trials"]]
        assert sorted(best) == sorted(item.scores)
    front = {data["trials"][index]["id"] for index in data["front"]}
    assert front == {result.record.id for result in sweep.front}


def test_a_file_whose_name_is_no_utf_8_is_in_the_page(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=1).write()
    (trial(directory, 0) / os.fsdecode(b"caf\xe9\\.txt")).write_text("x")
    data = read_island(write_report(directory))
    names = [name for name, _ in data["trials"][0]["files"]]
    assert "caf\udce9\\.txt" in names


def test_no_text_ends_the_script(tmp_path: Path) -> None:
    text = "</script><script>alert(1)</script><!--"
    island = to_island({"name": text})
    assert "<" not in island
    assert json.loads(island) == {"name": text}
