"""A sweep from its search file to its directory: all files and keys of the documented layout."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch

from sweeps import load_sweep, run_sweep
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from tests.integration.commands import invoke
from tests.integration.sweeping import (
    ONE_AT_A_TIME,
    epochs,
    pause_after,
    search,
    start,
    trials,
)
from tests.support.doc_files import undocumented
from trainable.artifacts.metrics import read_rows
from trainable.config import CheckpointConfig, load_config
from trainable.config.yaml_reader import dump_yaml
from trainable.experiment.fit import fit

pytestmark = pytest.mark.ray

MODEL = "tiny_models:dropout_cnn"
SPACE = {"optimizer.learning_rate": {"loguniform": [1e-2, 1.0]}}
KEYS = {
    "model_state_dict",
    "optimizer_state_dict",
    "scheduler_state_dict",
    "epoch",
    "best_acc",
    "config",
    "resume_state",
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> Any:
    """A finished sweep of three trials, each of four epochs, which Python started."""
    directory = tmp_path_factory.mktemp("swept")
    config = {
        "model": {"name": MODEL},
        "checkpoint": {"save_frequency": 2},
        "tensorboard": {"enabled": True},
        "metrics": ["f1_macro", "recall_per_class"],
    }
    spec = search(
        directory,
        space=SPACE,
        tune={"num_samples": 3, "search_alg": {"name": "tpe", "n_startup_trials": 1}},
        config=config,
        resources=ONE_AT_A_TIME,
    )
    return run_sweep(spec.to_dict(), allow_custom_model=True)


@dataclass(frozen=True)
class WithoutCheckpoints:
    """A sweep of three trials with `checkpoint.enabled: false` that was paused and resumed."""

    directory: Path
    outputs: tuple[str, str]
    paused: dict[int, list[int]]
    """Number of a trial -> its epochs in `metrics.jsonl` after the pause."""
    paused_states: list[str]
    rows: dict[int, list[dict[str, Any]]]
    """Number of a trial -> the rows of the first run."""


@pytest.fixture(scope="module")
def without_checkpoints(
    tmp_path_factory: pytest.TempPathFactory, ray_session: None
) -> WithoutCheckpoints:
    """Paused in the second epoch of the second trial. It decides on the test set."""
    base = tmp_path_factory.mktemp("without_checkpoints")
    spec = search(
        base,
        space=SPACE,
        tune={"num_samples": 3},
        config={
            "checkpoint": {"enabled": False},
            "dataset": {"val_split": None},
            "training": {"epochs": 3},
        },
        resources=ONE_AT_A_TIME,
    )
    (base / "search.yaml").write_text(dump_yaml(spec.to_dict()))
    with pytest.MonkeyPatch.context() as patch:
        pause_after(patch, 4, "time_budget")
        first = invoke("run", base / "search.yaml", "--allow-custom-model")
    assert first.exit_code == 3
    assert SweepLayout(base / "sweep").read_sweep().reason == "time_budget"
    directory = base / "sweep"
    paused, records = epochs(directory), trials(directory)
    rows = {r.number: read_rows(directory / r.directory / "metrics.jsonl") for r in records}
    second = invoke("resume", directory, "--allow-custom-model")
    assert second.exit_code == 0
    states = [record.state for record in records]
    return WithoutCheckpoints(directory, (first.stdout, second.stdout), paused, states, rows)


def test_a_sweep_leaves_the_documented_layout(swept: Any) -> None:
    names = {path.name for path in swept.directory.iterdir() if path.is_file()}
    assert {"search.yaml", "sweep.json", "trials.csv", "best_config.yaml", "events.jsonl"} <= names
    sweep = json.loads((swept.directory / "sweep.json").read_text())
    assert sweep["state"] == "finished"
    assert sweep["trials"] == {"finished": 3}
    records = trials(swept.directory)
    assert [record.number for record in records] == [0, 1, 2]
    for record in records:
        directory = swept.directory / record.directory
        assert re.fullmatch(rf"dropout_cnn_digits_\d{{8}}_\d{{6}}_{record.id}", directory.name)
        checkpoints = {path.name for path in (directory / "checkpoints").iterdir()}
        assert checkpoints == {"epoch_0002.pt", "epoch_0004.pt", "latest.pt", "best.pt"}
        assert len(list((directory / "tensorboard").glob("events.out.tfevents.*"))) == 1
        config = load_config(directory / "config.yaml")
        assert config.optimizer.learning_rate == record.values["optimizer.learning_rate"]
    assert epochs(swept.directory) == {number: [1, 2, 3, 4] for number in range(3)}


def test_a_sweep_has_no_file_that_the_page_of_files_lacks(swept: Any) -> None:
    assert undocumented(swept.directory) == []


def test_the_metrics_of_the_config_are_in_rows_events_and_exports(swept: Any) -> None:
    events = [json.loads(line) for line in (swept.directory / "events.jsonl").open()]
    kinds = {"result", "complete"}
    logged = {(e["trial"], e["epoch"]): e["metrics"] for e in events if e["kind"] in kinds}
    for record in trials(swept.directory):
        directory = swept.directory / record.directory
        for row in read_rows(directory / "metrics.jsonl"):
            assert 0 < row["val_f1_macro"] <= 1
            assert logged[record.id, row["epoch"]]["val_f1_macro"] == row["val_f1_macro"]
            assert (row["test_f1_macro"] is None) == (row["test_acc"] is None)
            assert "per_class" not in row
        recalls = read_rows(directory / "classes.jsonl")
        assert [len(row["val_recall_per_class"]) for row in recalls] == [10] * 4
        assert "val_f1_macro" in (directory / "trial.log").read_text()
    exported = invoke("export", swept.directory).stdout
    assert {"val_f1_macro", "test_f1_macro"} <= set(exported.splitlines()[0].split(","))


def test_every_checkpoint_loads_by_default_and_has_the_documented_keys(swept: Any) -> None:
    files = list(swept.directory.glob("*/checkpoints/*.pt"))
    assert len(files) == 12
    for path in files:
        state = torch.load(path)
        assert state.keys() == KEYS
        assert path.name in {"latest.pt", "best.pt", f"epoch_{state['epoch']:04d}.pt"}


def test_all_names_of_a_checkpoint_are_one_file(swept: Any) -> None:
    for record in trials(swept.directory):
        directory = swept.directory / record.directory
        (tune_file,) = directory.glob("checkpoint_*/checkpoint.pt")
        last = directory / "checkpoints" / "epoch_0004.pt"
        assert last.samefile(directory / "checkpoints" / "latest.pt")
        assert last.samefile(tune_file)


def test_trials_are_ranked_by_their_best_epoch(swept: Any) -> None:
    with (swept.directory / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    best = [float(row["val_acc"]) for row in rows]
    assert best == sorted(best, reverse=True)
    for row in rows:
        metrics = (swept.directory / row["directory"] / "metrics.jsonl").read_text().splitlines()
        accs = [json.loads(line)["val_acc"] for line in metrics]
        assert float(row["val_acc"]) == max(accs)
        assert int(row["best_epoch"]) == accs.index(max(accs)) + 1
        assert float(row["last_val_acc"]) == accs[-1]
        state = torch.load(swept.directory / row["checkpoint"])
        assert state["best_acc"] == max(accs)
        assert state["epoch"] == int(row["best_epoch"])


def test_one_worker_trains_all_trials_with_the_results_of_fresh_ones(
    swept: Any, assert_same: Callable[[Any, Any], None]
) -> None:
    """Training the last trial's config here gives the same curve and weights."""
    assert len({result.metrics["pid"] for result in swept.grid}) == 1
    (last,) = [result for result in swept.files.results if result.record.number == 2]
    config = load_config(last.directory / "config.yaml")
    checkpoint = CheckpointConfig(enabled=True, dir=str(swept.directory.parent / "alone"))
    alone = fit(config.model_copy(update={"checkpoint": checkpoint}), allow_custom_model=True)
    assert [row["val_loss"] for row in alone.rows] == [row["val_loss"] for row in last.rows]
    states = [
        torch.load(directory / "checkpoints" / "latest.pt")
        for directory in (last.directory, alone.directory)
    ]
    for key in ("model_state_dict", "optimizer_state_dict", "best_acc"):
        assert_same(states[0][key], states[1][key])


def test_best_config_is_the_config_of_the_best_trial(swept: Any) -> None:
    config = load_config(swept.directory / "best_config.yaml")
    best = swept.best
    assert config == best.config == load_config(best.directory / "config.yaml")
    assert config.optimizer.learning_rate == best.values["optimizer.learning_rate"]


@pytest.mark.slow
def test_trials_that_resume_inherit_the_best_state_in_file_column_and_table(
    tmp_path: Path,
) -> None:
    """Where no epoch of a trial is better, table, `best_acc` and `best.pt` name the inherited."""

    def spec_of(**config: Any) -> SearchSpec:
        return search(
            tmp_path,
            space={"optimizer.learning_rate": {"choice": [1e-9]}},
            tune={"num_samples": 1},
            config={"model": {"name": MODEL}, **config},
        )

    first = fit(spec_of().training, allow_custom_model=True).directory
    assert first is not None
    spec = spec_of(
        training={"epochs": 6},
        optimizer={"weight_decay": 0.1},
        checkpoint={"resume": str(first / "checkpoints" / "latest.pt"), "save_frequency": 1},
    )
    (result,) = start(spec).results
    best, latest = (
        torch.load(result.directory / "checkpoints" / name) for name in ("best.pt", "latest.pt")
    )
    assert [row["epoch"] for row in result.rows] == [5, 6]
    table = result.best["val_acc"], result.best["epoch"]
    assert (best["best_acc"], best["epoch"]) == table
    assert (latest["best_acc"], latest["resume_state"]["best_epoch"]) == table
    assert (result.rows[-1]["best_acc"], result.rows[-1]["best_epoch"]) == table
    (group,) = latest["optimizer_state_dict"]["param_groups"]
    assert group["weight_decay"] == latest["config"]["optimizer"]["weight_decay"] == 0.1
    with (tmp_path / "sweep" / "trials.csv").open() as file:
        (line,) = csv.DictReader(file)
    assert (float(line["val_acc"]), int(line["best_epoch"])) == table


def test_run_sweep_returns_the_trials_and_the_best_ones_model(swept: Any) -> None:
    assert swept.state == "finished"
    assert len(swept.trials) == 3
    model = load_sweep(swept.directory).model(allow_custom_model=True)
    saved = torch.load(swept.checkpoint())["model_state_dict"]
    assert all(torch.equal(saved[key], value) for key, value in model.state_dict().items())


def test_tunes_result_grid_has_every_trial_and_its_checkpoint(swept: Any) -> None:
    assert len(swept.grid) == 3
    best = swept.grid.get_best_result("best_acc", "max")
    assert best.metrics["trial_id"] == swept.best.id
    for result in swept.grid:
        assert result.metrics["epoch"] == 4
        with result.checkpoint.as_directory() as directory:
            assert torch.load(Path(directory) / "checkpoint.pt")["epoch"] == 4


def test_more_resources_than_the_cluster_has_are_refused_before_anything_is_created(
    tmp_path: Path,
) -> None:
    spec = search(tmp_path, space=SPACE, tune={"num_samples": 1}, resources={"cpu": 64})
    with pytest.raises(SweepError, match=r"one trial asks for 64, the cluster has 2"):
        start(spec)
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_without_checkpoints_a_trial_keeps_everything_else(
    without_checkpoints: WithoutCheckpoints,
) -> None:
    directory, (first, _) = without_checkpoints.directory, without_checkpoints.outputs
    assert first.count("checkpoint.enabled is false") == 1
    assert f"sweep sweep: 3 trials, 1 concurrent, in {directory}\n" in first
    assert not list(directory.rglob("*.pt"))
    assert undocumented(directory) == []
    for record in trials(directory):
        names = {path.name for path in (directory / record.directory).iterdir()}
        assert {"config.yaml", "metrics.jsonl", "trial.json", "trial.log"} <= names
        assert "checkpoints" not in names


@pytest.mark.slow
def test_without_checkpoints_an_interrupted_trial_starts_again_and_that_is_printed(
    without_checkpoints: WithoutCheckpoints,
) -> None:
    first, second = without_checkpoints.outputs
    directory = without_checkpoints.directory
    assert without_checkpoints.paused == {0: [1, 2, 3], 1: [1, 2]}
    assert without_checkpoints.paused_states == ["finished", "paused"]
    assert "and, without checkpoints, begin again on resume" in first
    assert first.splitlines()[-1] == f"sweep resume {directory} --allow-custom-model"
    (again,) = [record for record in trials(directory) if record.number == 1]
    assert f"note: trial {again.id} has no checkpoint and starts again from epoch 1" in second
    assert epochs(directory) == {number: [1, 2, 3] for number in range(3)}
    rows = read_rows(directory / again.directory / "metrics.jsonl")
    for row, before in zip(rows, without_checkpoints.rows[1], strict=False):
        assert (row["train_loss"], row["val_acc"]) == (before["train_loss"], before["val_acc"])


@pytest.mark.slow
def test_without_checkpoints_all_commands_agree_with_the_table(
    without_checkpoints: WithoutCheckpoints,
) -> None:
    directory = without_checkpoints.directory
    with (directory / "trials.csv").open() as file:
        table = list(csv.DictReader(file))
    best = float(table[0]["val_acc"])
    assert f"best: trial {table[0]['trial']}, val_acc {best:.4f}" in without_checkpoints.outputs[1]
    status = json.loads(invoke("status", directory, "--json").stdout)
    assert (status["ended"], status["total"], status["state"]) == (3, 3, "finished")
    answer = json.loads(invoke("best", directory, "--json").stdout)
    assert (answer["trial"], answer["value"]) == (table[0]["trial"], best)
    assert answer["checkpoint"] is answer["checkpoint_epoch"] is None
    assert (
        "checkpoint:        none, checkpoint.enabled is false" in invoke("best", directory).stdout
    )
    exported = list(csv.DictReader(StringIO(invoke("export", directory).stdout)))
    assert [row["trial"] for row in exported] == [row["trial"] for row in table]
    frame = load_sweep(directory).trials
    assert list(frame["val_acc"]) == [float(row["val_acc"]) for row in table]
    assert (directory / "report.html").exists()


@pytest.mark.slow
def test_a_sweep_that_decides_on_the_test_set_prints_one_note(
    without_checkpoints: WithoutCheckpoints,
) -> None:
    assert without_checkpoints.outputs[0].count("no dataset.val_split") == 1


def test_an_existing_sweep_directory_is_refused_with_the_command_to_resume(
    tmp_path: Path, swept: Any
) -> None:
    spec = search(swept.directory.parent, space=SPACE, tune={"num_samples": 1})
    with pytest.raises(SweepError, match=rf"sweep resume {swept.directory}"):
        start(spec)
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "notes.txt").touch()
    with pytest.raises(SweepError, match="taken by something other than a sweep"):
        start(search(tmp_path, space=SPACE, tune={"num_samples": 1}))
