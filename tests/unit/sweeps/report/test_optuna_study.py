"""The Optuna study rebuilt from a sweep's layout, and its files."""

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from click.testing import CliRunner
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import TrialState

from sweeps.cli.main import main
from sweeps.report.curve_charts import rungs
from sweeps.report.optuna_charts import importance
from sweeps.report.optuna_files import export_study
from sweeps.report.optuna_study import study_of
from sweeps.results.loaded_sweep import load
from tests.support.fake_sweeps import ASHA, FakeSweep


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    states = {3: "failed", 4: "running", 5: "pending", 6: "paused"}
    return FakeSweep(tmp_path / "sweep", states=states, state="paused").write()


def test_trials_have_the_state_they_came_to(directory: Path) -> None:
    study = study_of(directory)
    found = [trial.state for trial in study.trials]
    assert len(found) == 12
    assert found[3:7] == [
        TrialState.FAIL,
        TrialState.RUNNING,
        TrialState.WAITING,
        TrialState.RUNNING,
    ]
    counts = load(directory).states
    assert Counter(found)[TrialState.PRUNED] == counts["stopped"] > 0
    assert Counter(found)[TrialState.COMPLETE] == counts["finished"] > 0


def test_values_are_those_that_trials_trained_with(directory: Path) -> None:
    records = {result.record.number: result for result in load(directory).results}
    for trial in study_of(directory).trials:
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
    trial = study_of(FakeSweep(tmp_path / "sweep", space=space).write()).trials[0]
    assert trial.distributions == {
        "optimizer.name": CategoricalDistribution(["sgd", "adamw"]),
        "optimizer.learning_rate": FloatDistribution(1e-4, 1.0, log=True),
        "training.batch_size": IntDistribution(32, 128),
    }


def test_a_value_outside_of_what_was_drawn_from_widens_it(directory: Path) -> None:
    path = next(directory.glob("*_0000aaaa/trial.json"))
    record = json.loads(path.read_text())
    record["lineage"] = [
        {"epoch": 2, "donor": "x", "values": {**record["values"], "optimizer.learning_rate": 3.0}}
    ]
    path.write_text(json.dumps(record))
    study = study_of(directory)
    assert study.trials[0].params["optimizer.learning_rate"] == 3.0
    assert {trial.distributions["optimizer.learning_rate"] for trial in study.trials} == {
        FloatDistribution(1e-4, 3.0, log=True)
    }


def test_stopped_trials_count_where_they_are_asked_to(directory: Path) -> None:
    counts = load(directory).states
    states = Counter(trial.state for trial in study_of(directory, stopped_count=True).trials)
    assert states[TrialState.COMPLETE] == counts["finished"] + counts["stopped"]
    assert states[TrialState.PRUNED] == 0


def test_epochs_without_a_finite_metric_are_left_out(directory: Path) -> None:
    path = next(directory.glob("*_0001aaaa/metrics.jsonl"))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["val_acc"], rows[1]["val_acc"] = None, float("nan")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert min(study_of(directory).trials[1].intermediate_values) == 3


def test_the_parameter_that_matters_is_the_most_important(tmp_path: Path) -> None:
    """The fake trials' accuracy depends on the learning rate and on hardly anything else."""
    directory = FakeSweep(tmp_path / "sweep", trials=60).write()
    found, trouble = importance(study_of(directory, stopped_count=True))
    assert trouble == ""
    assert next(iter(found)) == "optimizer.learning_rate"
    assert found["optimizer.learning_rate"] > 0.6
    assert sum(found.values()) == pytest.approx(1)
    assert set(found) == set(load(directory).keys)


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
    loaded, built = optuna.load_study(study_name="sweep", storage=storage), study_of(directory)
    assert loaded.direction == built.direction
    assert loaded.best_value == built.best_value
    for one, other in zip(loaded.trials, built.trials, strict=True):
        assert (one.number, one.state, one.params) == (other.number, other.state, other.params)
        assert one.intermediate_values == other.intermediate_values
    assert optuna.importance.get_param_importances(loaded)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def rows_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master")]
        tables = [name for name in names if not name.startswith(("ix_", "sqlite_"))]
        return {name: sorted(database.execute(f"SELECT * FROM {name}")) for name in tables}


def test_the_tables_are_filled_as_optuna_fills_them(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_study(directory, tmp_path / "at_once.db")
    monkeypatch.setattr("sweeps.report.optuna_files.KNOWN_TABLES", "another revision")
    export_study(directory, tmp_path / "by_optuna.db")
    found, wanted = rows_of(tmp_path / "at_once.db"), rows_of(tmp_path / "by_optuna.db")
    assert found == wanted
    filled = {name for name, rows in found.items() if rows}
    assert filled > {"trials", "trial_params", "trial_values", "trial_intermediate_values"}


LEAN = """
import sys
from sweeps.cli.main import main
try:
    main(["report", sys.argv[1]])
except SystemExit as end:
    assert end.code == 0
assert {"sklearn", "torch", "ray"}.isdisjoint(sys.modules)
import sklearn.ensemble
"""


def test_a_report_does_without_slow_libraries(directory: Path) -> None:
    subprocess.run([sys.executable, "-c", LEAN, str(directory)], check=True)
    assert "optimizer.learning_rate (FloatDistribution)" in (directory / "report.html").read_text()


def test_an_export_replaces_no_file(directory: Path, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    path.write_text("mine")
    words = ["export", str(directory), "--format", "optuna", "--output", str(path)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "exists already" in result.stderr
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("scheduler", "epochs", "marks"),
    [
        (ASHA, 9, [1, 3]),
        (
            {"name": "asha", "grace_period": 2, "reduction_factor": 3, "brackets": 2},
            30,
            [2, 6, 18],
        ),
        ({"name": "asha", "grace_period": 1, "reduction_factor": 1.5}, 5, [1, 2, 3, 4]),
        ({"name": "fifo"}, 9, []),
    ],
)
def test_rungs_are_the_epochs_at_which_asha_decides(
    tmp_path: Path, scheduler: dict[str, object], epochs: int, marks: list[int]
) -> None:
    directory = FakeSweep(tmp_path / "sweep", epochs=epochs, tune={"scheduler": scheduler}).write()
    assert rungs(load(directory)) == marks


def test_hyperbands_rungs_are_read_from_its_decisions(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", tune={"scheduler": "hyperband"}).write()
    events = [(1, "CONTINUE"), (3, "PAUSE"), (9, "STOP"), (3, "PAUSE")]
    lines = [json.dumps({"kind": "result", "epoch": e, "decision": d}) for e, d in events]
    (directory / "events.jsonl").write_text("\n".join(lines) + '\n{"kind": "resu')
    assert rungs(load(directory)) == [3, 9]
    assert (directory / "events.jsonl").read_text().endswith('{"kind": "resu')
