"""The Optuna study rebuilt from a sweep's files, and its export."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import optuna
import pytest
from click.testing import CliRunner
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import TrialState

from sweeps.cli.main import main
from sweeps.report.importance import importance
from sweeps.report.optuna_study import build_study
from sweeps.results.loaded_sweep import load
from sweeps.space.parsing import parse_parameter
from sweeps.space.search_space import random_draw
from tests.support.fake_sweeps import ASHA, FakeSweep


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    states = {3: "failed", 4: "running", 5: "pending", 6: "paused"}
    return FakeSweep(tmp_path / "sweep", states=states, state="paused").write()


def test_trials_have_optunas_states(directory: Path) -> None:
    study = build_study(directory)
    states = [trial.state for trial in study.trials]
    assert len(states) == 12
    assert states[3:7] == [
        TrialState.FAIL,
        TrialState.RUNNING,
        TrialState.WAITING,
        TrialState.RUNNING,
    ]
    counts = load(directory).states
    assert Counter(states)[TrialState.PRUNED] == counts["stopped"] > 0
    assert Counter(states)[TrialState.COMPLETE] == counts["finished"] > 0


def test_parameters_and_values_are_those_of_the_trials(directory: Path) -> None:
    records = {result.record.number: result for result in load(directory).results}
    for trial in build_study(directory).trials:
        result = records[trial.number]
        assert trial.params == result.record.values
        assert trial.user_attrs["trial"] == result.record.id
        assert trial.intermediate_values == {row["epoch"]: row["val_acc"] for row in result.rows}
        if trial.state in {TrialState.COMPLETE, TrialState.PRUNED}:
            assert trial.value == max(row["val_acc"] for row in result.rows)


def test_distributions_are_optunas_own(tmp_path: Path) -> None:
    space = {
        "optimizer.name": {"choice": ["sgd", "adamw"]},
        "optimizer.learning_rate": {"loguniform": [1e-4, 1.0]},
        "training.batch_size": {"randint": [32, 129]},
    }
    trial = build_study(FakeSweep(tmp_path / "sweep", space=space).write()).trials[0]
    assert trial.distributions == {
        "optimizer.name": CategoricalDistribution(["sgd", "adamw"]),
        "optimizer.learning_rate": FloatDistribution(1e-4, 1.0, log=True),
        "training.batch_size": IntDistribution(32, 128),
    }


def test_a_choice_with_a_distribution_in_it_is_a_range_of_numbers_or_a_list(
    tmp_path: Path,
) -> None:
    space = {
        "optimizer.learning_rate": {"choice": [0.5, {"loguniform": [1e-4, 1e-1]}]},
        "optimizer.weight_decay": {"choice": [0, {"loguniform": [1e-6, 1e-2]}]},
        "dataset.val_split": {"choice": [None, {"uniform": [0.1, 0.3]}], "weights": [1, 3]},
        "training.batch_size": {"choice": [32, 64], "weights": [1, 3]},
    }
    directory = FakeSweep(tmp_path / "sweep", space=space, trials=30).write()
    parsed = {key: parse_parameter(parameter) for key, parameter in space.items()}
    for number, path in enumerate(directory.glob("*/trial.json")):
        record = json.loads(path.read_text())
        record["values"] = random_draw(parsed, (), [], 0, number)
        path.write_text(json.dumps(record))
    study = build_study(directory, stopped_complete=True)
    values = {trial.params["dataset.val_split"] for trial in study.trials}
    distributions = study.trials[0].distributions
    splits = distributions.pop("dataset.val_split")
    assert isinstance(splits, CategoricalDistribution)
    assert set(splits.choices) == {None, *values}
    assert distributions == {
        "optimizer.learning_rate": FloatDistribution(1e-4, 0.5, log=True),
        "optimizer.weight_decay": FloatDistribution(0.0, 1e-2),
        "training.batch_size": CategoricalDistribution([32, 64]),
    }
    importances, problem = importance(load(directory))
    assert problem == ""
    assert set(importances) == set(space)


def test_a_value_outside_its_distribution_widens_it(directory: Path) -> None:
    path = next(directory.glob("*_0000aaaa/trial.json"))
    record = json.loads(path.read_text())
    record["lineage"] = [
        {"epoch": 2, "donor": "x", "values": {**record["values"], "optimizer.learning_rate": 3.0}}
    ]
    path.write_text(json.dumps(record))
    study = build_study(directory)
    assert study.trials[0].params["optimizer.learning_rate"] == 3.0
    assert {trial.distributions["optimizer.learning_rate"] for trial in study.trials} == {
        FloatDistribution(1e-4, 3.0, log=True)
    }


def test_stopped_trials_can_count_as_complete(directory: Path) -> None:
    counts = load(directory).states
    states = Counter(trial.state for trial in build_study(directory, stopped_complete=True).trials)
    assert states[TrialState.COMPLETE] == counts["finished"] + counts["stopped"]
    assert states[TrialState.PRUNED] == 0


def test_epochs_without_a_finite_metric_are_left_out(directory: Path) -> None:
    path = next(directory.glob("*_0001aaaa/metrics.jsonl"))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["val_acc"], rows[1]["val_acc"] = None, float("nan")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert min(build_study(directory).trials[1].intermediate_values) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["study.log", "study.db"])
def test_the_exported_study_is_opened_by_optuna(
    directory: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    words = ["export", str(directory), "--format", "optuna", "--output", str(path)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0
    address = f"sqlite:///{path}" if path.suffix == ".db" else path
    assert f"\noptuna-dashboard {address}\n" in result.stdout
    storage = (
        f"sqlite:///{path}"
        if path.suffix == ".db"
        else JournalStorage(JournalFileBackend(str(path)))
    )
    loaded, built = optuna.load_study(study_name="sweep", storage=storage), build_study(directory)
    assert loaded.direction == built.direction
    assert loaded.best_value == built.best_value
    for trial, original in zip(loaded.trials, built.trials, strict=True):
        assert (trial.number, trial.state) == (original.number, original.state)
        assert (trial.params, trial.distributions) == (original.params, original.distributions)
        assert (trial.values, trial.user_attrs) == (original.values, original.user_attrs)
        assert trial.datetime_start == original.datetime_start
        assert trial.datetime_complete == original.datetime_complete
        assert trial.intermediate_values == original.intermediate_values
    assert optuna.importance.get_param_importances(loaded)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


REPORT_SCRIPT = """
import sys
from sweeps.cli.main import main
try:
    main(["report", sys.argv[1]])
except SystemExit as end:
    assert end.code == 0
assert {"torch", "ray"}.isdisjoint(sys.modules)
"""


@pytest.mark.slow
def test_a_report_loads_neither_torch_nor_ray(directory: Path) -> None:
    subprocess.run([sys.executable, "-c", REPORT_SCRIPT, str(directory)], check=True)
    assert "optimizer.learning_rate" in (directory / "report.html").read_text()


def test_an_export_never_replaces_a_file(directory: Path, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    path.write_text("mine")
    words = ["export", str(directory), "--format", "optuna", "--output", str(path)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "already exists" in result.stderr
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("scheduler", "epochs", "decision_epochs"),
    [
        (ASHA, 9, [1, 3]),
        (
            {"name": "asha", "grace_period": 2, "reduction_factor": 3, "brackets": 2},
            30,
            [2, 6, 18],
        ),
        ({"name": "asha", "grace_period": 1, "reduction_factor": 1.5}, 5, [1, 2, 3, 4]),
        ({"name": "asha", "grace_period": 1, "reduction_factor": 2.5}, 16, [1, 3, 7]),
        ({"name": "hyperband"}, 9, [1, 3]),
        ({"name": "bohb", "max_t": 9}, 20, [1, 3]),
        ({"name": "fifo"}, 9, []),
    ],
)
def test_rungs_are_the_epochs_at_which_the_scheduler_decides(
    tmp_path: Path, scheduler: dict[str, object], epochs: int, decision_epochs: list[int]
) -> None:
    directory = FakeSweep(tmp_path / "sweep", epochs=epochs, tune={"scheduler": scheduler}).write()
    assert load(directory).rungs == decision_epochs


def test_the_rungs_of_a_sweep_of_an_earlier_version_stay(tmp_path: Path) -> None:
    """They may end before the last epoch."""
    scheduler = {"name": "hyperband", "reduction_factor": 3}
    directory = FakeSweep(tmp_path / "sweep", epochs=10, tune={"scheduler": scheduler}).write()
    assert load(directory).rungs == [1, 3, 9]
    text = (directory / "sweep.json").read_text()
    (directory / "sweep.json").write_text(text.replace('"multiples"', '"shares"'))
    assert load(directory).rungs == [1, 3]
