"""A sweep in object storage: an S3 server on loopback, and a connection that can be cut."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from pyarrow.fs import FileSelector, FileType

from sweeps import load_sweep
from sweeps.execution.launch import start_sweep
from sweeps.execution.run_options import RunOptions
from sweeps.spec.load import load_search
from sweeps.steering.request import new_request
from sweeps.storage import location
from tests.crash.session import ROOT, Session
from tests.integration import sweeping
from tests.support.object_store import S3Server, object_store
from trainable.artifacts.metrics import read_rows
from trainable.storage.object_store import ObjectStore

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with object_store(tmp_path_factory.mktemp("store")) as server:
        yield server


def new_mirror(uri: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the mirror of a process that starts now."""
    monkeypatch.setattr(location, "_mirrors", {})
    return location.resolve(uri)


def uploads(store: S3Server) -> tuple[Counter[str], Counter[str]]:
    """Counts how often each file of weights was uploaded, and how often copied in the store."""
    requests = [request for request in store.requests() if request.key.endswith(".pt")]
    return (
        Counter(request.key for request in requests if request.is_upload),
        Counter(request.key for request in requests if request.is_copy),
    )


def directories_without_objects(store: ObjectStore, prefix: str) -> set[str]:
    """Lists directories whose name begins with a prefix and that are empty objects of S3."""
    infos = store.file_system.get_file_info(FileSelector(store.path_of(""), recursive=True))
    directories = [info for info in infos if info.type == FileType.Directory]
    full = {store.path_of(name.rpartition("/")[0]) for name in store.list()}
    return {info.path for info in directories if info.base_name.startswith(prefix)} - full


def send_addition(sweep_store: ObjectStore, source: str) -> str:
    """Asks for a trial with the weights of another one, as a client on another machine does."""
    arguments = {"set": {"optimizer.learning_rate": 0.05}, "from": source}
    request = new_request("add", None, arguments)
    sweep_store.write(f"requests/{request.id}.json", json.dumps(asdict(request)).encode())
    return request.id


def assert_answered(store: S3Server, sweep_store: ObjectStore, request_id: str) -> None:
    """Asserts that a request was accepted, and deleted after its log and answer were stored."""
    name = f"{request_id}.json"
    answer = json.loads(sweep_store.read(f"answers/{name}") or b"")
    assert answer["state"] == "accepted", answer
    assert sweep_store.read(f"requests/{name}") is None
    seen = [(request.method, "/".join(request.key.split("/")[2:])) for request in store.requests()]
    put_at = seen.index(("PUT", f"requests/{name}"))
    steps = [("PUT", "events.jsonl"), ("PUT", f"answers/{name}"), ("DELETE", f"requests/{name}")]
    positions = [seen.index(step, put_at) for step in steps]
    assert positions == sorted(positions)


@pytest.mark.slow
def test_a_sweep_in_object_storage_is_paused_resumed_and_read(
    store: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uri = store.uri("sweeps/sweep")
    spec = sweeping.search(
        tmp_path,
        space={"optimizer.learning_rate": {"loguniform": [0.01, 1.0]}},
        tune={"num_samples": 2},
        resources=sweeping.ONE_AT_A_TIME,
        config={
            "checkpoint": {"dir": store.uri("sweeps"), "save_frequency": 2},
            "tensorboard": {"enabled": True},
        },
    )
    with monkeypatch.context() as patch:
        sweeping.pause_after(patch, 2)
        outcome = sweeping.start(spec)
    assert (outcome.paused, list(tmp_path.iterdir())) == ("SIGINT", [])
    sweep_store = ObjectStore(uri)
    assert ".lock" not in sweep_store.list()
    directory = new_mirror(uri, monkeypatch)
    assert sweeping.epochs(directory) == {0: [1, 2, 3]}
    (first,) = sweeping.trials(directory)
    request = new_request(
        "add", None, {"set": {"optimizer.learning_rate": 0.05}, "from": first.id}
    )
    sweep_store.write(f"requests/{request.id}.json", json.dumps(asdict(request)).encode())
    outcome = sweeping.resume(directory)
    assert outcome.record.state == "finished"
    assert_answered(store, sweep_store, request.id)
    for result in map(outcome.grid.__getitem__, range(3)):
        with result.checkpoint.as_directory() as local:
            assert torch.load(Path(local, "checkpoint.pt"))["epoch"] == 4

    sweep = load_sweep(new_mirror(uri, monkeypatch))
    assert sweep.state == "finished"
    assert sweeping.epochs(sweep.directory) == {number: [1, 2, 3, 4] for number in range(3)}
    starts = [trial.weights and trial.weights.trial for trial in sweeping.trials(sweep.directory)]
    assert starts.count(first.id) == 1
    model = sweep.model(allow_custom_model=True)
    assert model(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    names = set(sweep_store.list())
    assert {"search.yaml", "sweep.json", "events.jsonl", "trials.csv"} <= names
    for trial in sweeping.trials(sweep.directory):
        own = {name.removeprefix(f"{trial.directory}/") for name in names}
        weights = {f"checkpoints/{name}.pt" for name in ("epoch_0002", "epoch_0004", "latest")}
        assert own >= {"trial.json", "config.yaml", "metrics.jsonl", "trial.log", *weights}
    assert directories_without_objects(sweep_store, "checkpoint_") == set()
    sent, copied = uploads(store)
    # One upload per save, however many names it has.
    assert copied.total() > sent.total() >= 4
    assert sent.total() <= 4 * len(sweep.files.results)


SEARCH = """\
name: mine
config:
  dataset: {name: digits, val_split: 0.2}
  model: {name: "tiny_models:mlp"}
  training: {epochs: 40, batch_size: 256}
  optimizer: {name: sgd, learning_rate: 0.1}
  seed: {enabled: true}
  progress: {enabled: false}
  checkpoint: {enabled: true, dir: "PLACE", save_frequency: 4}
space:
  optimizer.learning_rate: {loguniform: [0.01, 1.0]}
tune: {num_samples: 2, seed: 1, max_concurrent_trials: 1, scheduler: {name: fifo}}
failure: {max_retries: 0}
keep: {min_free_gib: 0}
"""
CUT_S = 15


def epochs_in(sweep_store: ObjectStore) -> int:
    """Counts the epochs in the metrics of all trials in the store."""
    rows = [
        sweep_store.read(name) or b""
        for name in sweep_store.list()
        if name.endswith("metrics.jsonl")
    ]
    return sum(data.count(b"\n") for data in rows)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_cut_connection_and_a_kill_lose_no_results(
    store: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sweep_store = ObjectStore(store.uri("killed/mine"))
    search = tmp_path / "search.yaml"
    search.write_text(SEARCH.replace("PLACE", store.uri("killed")))

    def start_session(temporary: str, *words: str) -> Session:
        command = [sys.executable, str(ROOT / "sweeps" / "run.py"), *words]
        (tmp_path / temporary).mkdir()
        # Separate local files, as on another machine.
        environment = {"TMPDIR": str(tmp_path / temporary), "RAY_TMPDIR": "/tmp"}
        paths = {"PYTHONPATH": str(ROOT / "tests" / "support")}
        return Session(command, tmp_path / "log", {**environment, **paths})

    first = start_session("first", str(search), "--allow-custom-model")
    try:
        assert first.wait(lambda: epochs_in(sweep_store) >= 6, 120)
        with store.cut():
            time.sleep(CUT_S)
        assert first.wait(lambda: epochs_in(sweep_store) >= 50, 120)
        assert first.exit_code is None, (tmp_path / "log").read_text()
    finally:
        first.kill_all()
    before = sweeping.epochs(new_mirror(sweep_store.uri, monkeypatch))
    assert sum(map(len, before.values())) >= 50
    shutil.rmtree(tmp_path / "first")

    second = start_session("second", "--resume", sweep_store.uri, "--allow-custom-model")
    assert second.wait(lambda: False, 300)
    assert second.exit_code == 0, (tmp_path / "log").read_text()
    directory = new_mirror(sweep_store.uri, monkeypatch)
    assert not any(trial.failures for trial in sweeping.trials(directory))
    resumed = read_losses(directory)
    whole = tmp_path / "whole"
    search.write_text(SEARCH.replace("PLACE", str(whole)))
    assert resumed == read_losses(
        start_sweep(load_search(search), RunOptions(allow_custom_model=True)).directory
    )


def read_losses(directory: Path) -> dict[int, tuple[str, list[tuple[int, float]]]]:
    """Returns trial number -> (state, validation loss of every epoch)."""
    return {
        trial.number: (
            trial.state,
            [
                (row["epoch"], row["val_loss"])
                for row in read_rows(directory / trial.directory / "metrics.jsonl")
            ],
        )
        for trial in sweeping.trials(directory)
    }
