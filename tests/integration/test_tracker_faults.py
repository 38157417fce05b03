"""Optuna's journal after outages, kills, retries and moves: what it lacks comes from the files."""

import json
import shutil
import socket
import threading
import uuid
from contextlib import contextmanager

import pytest

from sweeps.storage import location
from sweeps.sweep_dir.layout import SweepLayout
from tests.support.fake_sweeps import trial
from tests.support.object_store import CuttableConnection
from tests.support.reporting import (
    Reporting,
    add_epoch,
    journal_epochs,
    journal_epochs_if_any,
    read_journal,
    recorded_epochs,
    wait_for,
    write_sweep,
)
from tests.support.tracked_sweeps import read_mlflow
from trainable.storage.object_store import ObjectStore


@pytest.fixture
def directory(tmp_path):
    return write_sweep(tmp_path / "mine")


@pytest.mark.slow
def test_what_could_not_be_sent_follows_with_the_next_run(directory):
    (directory / "study.log").mkdir()
    lines = Reporting(directory).start().finish()
    assert lines[-1].startswith("note: Optuna's journal does not have 16 epochs of 3 trials yet; ")
    assert f"resume {directory}" in lines[-1]
    (directory / "study.log").rmdir()
    assert Reporting(directory).start().finish() == []
    assert journal_epochs(directory) == recorded_epochs(directory)


@pytest.mark.slow
def test_a_damaged_trial_does_not_keep_back_the_others(directory):
    metrics = trial(directory, 0) / "metrics.jsonl"
    metrics.write_text("damaged\n")
    reporting = Reporting(directory).start()
    wait_for(lambda: len(journal_epochs_if_any(directory)) == 2)
    lines = reporting.finish()
    assert "metrics.jsonl: line 1 is not an epoch's metrics" in lines[0]
    assert journal_epochs(directory).keys() == {"0001aaaa", "0003aaaa"}


@pytest.mark.slow
def test_a_trial_that_is_retried_after_its_end_becomes_another_one(directory):
    layout = SweepLayout(directory)
    Reporting(directory).start().finish()
    record = layout.read_trials()[3]
    assert record.state in {"stopped", "finished"}
    record.state, record.ended = "running", None
    layout.write_trial(record)
    add_epoch(directory, 3, 7)
    Reporting(directory).start().finish()
    trials = read_journal(directory / "study.log")
    first, second = [t for t in trials if t.user_attrs["trial"] == record.id]
    assert second.user_attrs["continues"] == first.number
    assert sorted(second.intermediate_values) == [*sorted(first.intermediate_values), 7]


@pytest.mark.slow
def test_a_line_that_a_kill_has_cut_short_is_removed(directory):
    Reporting(directory).start().finish()
    with (directory / "study.log").open("a") as file:
        file.write('{"op_code": 6, "wor')
    add_epoch(directory, 0, 6)
    assert Reporting(directory).start().finish() == []
    assert journal_epochs(directory) == recorded_epochs(directory)


@pytest.mark.slow
def test_a_moved_sweep_goes_on_in_its_files_and_other_settings_start_anew(directory):
    Reporting(directory).start().finish()
    moved = shutil.move(directory, directory.with_name("moved"))
    add_epoch(moved, 0, 6)
    Reporting(moved, optuna="other.log").start().finish()
    for name in ("study.log", "other.log"):
        assert (moved / name).exists()
    assert journal_epochs(moved, "other.log") == recorded_epochs(moved)


@pytest.mark.slow
def test_a_sweep_in_object_storage_keeps_the_files_of_its_trackers_there(tmp_path, monkeypatch):
    monkeypatch.setattr(location, "_mirrors", {})
    store = ObjectStore(f"memory://{uuid.uuid4().hex}/mine")
    for path in write_sweep(tmp_path / "mine").rglob("*"):
        if path.is_file():
            store.upload(path, path.relative_to(tmp_path / "mine").as_posix())
    for _ in range(2):
        directory = location.resolve(store.uri)
        mirror = location.mirror_of(directory)
        name = trial(directory, 0).name
        mirror.assign_to_worker(name)
        rows = (directory / name / "metrics.jsonl").read_bytes()
        number = rows.count(b"\n") + 1
        row = json.dumps({"epoch": number, "val_acc": 0.5}).encode() + b"\n"
        store.write(f"{name}/metrics.jsonl", rows + row)  # as the trial's worker does
        reporting = Reporting(directory).start()
        wait_for(lambda: number in journal_epochs_if_any(directory).get("0000aaaa", []))  # noqa: B023
        mirror.sync_trials()
        assert reporting.finish() == []
        mirror.close()
        monkeypatch.setattr(location, "_mirrors", {})
    path = tmp_path / "study.log"
    path.write_bytes(store.read("study.log"))
    assert journal_epochs(tmp_path)["0000aaaa"] == [1, 2, 3, 4, 5, 6, 7]
    assert b'"0000aaaa"' in store.read("trackers.json")


@pytest.mark.slow
def test_an_mlflow_server_that_is_down_hangs_and_comes_back_gets_every_epoch_once(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    directory = write_sweep(tmp_path / "mine")
    with mlflow_server(tmp_path) as connection:
        uri = f"http://127.0.0.1:{connection.port}"
        connection.close()
        reporting = Reporting(directory, mlflow={"tracking_uri": uri}).start()
        wait_for(lambda: len(reporting.lines) == 1)
        with socket.create_server(("127.0.0.1", connection.port)):  # accepts, never answers
            wait_for(lambda: len(reporting.lines) == 2)
        connection.open()
        wait_for(lambda: len(reporting.lines) == 3)
        connection.close()
        add_epoch(directory, 0, 6)
        reporting.trackers.wake(trial(directory, 0).name)
        wait_for(lambda: len(reporting.lines) == 4)
        connection.open()
        wait_for(lambda: len(reporting.lines) == 5)
        reporting.finish("finished")
        runs = read_mlflow(uri, "mine")
    assert {name: sorted(run.epochs) for name, run in runs.items()} == recorded_epochs(directory)
    assert len(reporting.lines) == 5
    assert all("failed (the sweep is not affected)" in reporting.lines[n] for n in (0, 1, 3))
    assert [reporting.lines[n] for n in (2, 4)] == ["MLflow gets the sweep again"] * 2


@contextmanager
def mlflow_server(folder):
    """Serves MLflow's REST interface behind a connection that can be cut."""
    database = f"sqlite:///{folder / 'server.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_MLFLOW_SERVER_FILE_STORE", database)
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(folder))
        patch.setenv("MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "true")
        from mlflow.server import app  # reads the environment
        from mlflow.tracking import MlflowClient
        from werkzeug.serving import make_server

        MlflowClient(database).search_experiments()  # creates the tables
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        connection = CuttableConnection(server.server_port)
        try:
            yield connection
        finally:
            connection.close()
            server.shutdown()
            thread.join()
