"""Exploits, retention, stops, retries and tables of sweeps in object storage work as on disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeps.results.trial_results import read_results
from sweeps.storage import location
from tests.integration import sweeping
from tests.integration.commands import invoke
from tests.support.object_store import S3Server, object_store
from trainable.storage.object_store import ObjectStore
from trainable.uri import child_uri

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.long]

LR = "optimizer.learning_rate"
SPACE = {LR: {"loguniform": [1e-3, 1.0]}}
Search = Callable[..., Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with object_store(tmp_path_factory.mktemp("store")) as server:
        yield server


@pytest.fixture
def base(store: S3Server, request: pytest.FixtureRequest) -> str:
    return child_uri(store.uri("sweeps"), request.node.name)


@pytest.fixture
def sweep_store(base: str) -> ObjectStore:
    return ObjectStore(base).child("sweep")


@pytest.fixture
def search(base: str, tmp_path: Path) -> Search:
    def search(tune: dict[str, Any], **more: Any) -> Any:
        changes = more.pop("config", {})
        checkpoint = {"dir": base, "save_frequency": 1, **changes.pop("checkpoint", {})}
        config = {**changes, "checkpoint": checkpoint}
        return sweeping.search(tmp_path, space=SPACE, tune=tune, config=config, **more)

    return search


def new_mirror(sweep_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(location, "_mirrors", {})
    return location.resolve(sweep_store.uri)


@pytest.mark.parametrize("process", ["trial", "shared"])
def test_a_population_loads_donors_from_object_storage(
    search: Search, sweep_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, process: str
) -> None:
    scheduler = {"name": "pbt", "hyperparam_mutations": [LR], "perturbation_interval": 1}
    tune = {"num_samples": 4, "scheduler": {**scheduler, "quantile_fraction": 0.5}}
    resources = {"cpu": 1, "gpu": 0.5, "process": process}
    spec = search(tune, config={"training": {"epochs": 5}}, resources=resources)
    outcome = sweeping.start(spec)
    directory = new_mirror(sweep_store, monkeypatch)
    records = sweeping.trials(directory)
    assert [trial.state for trial in records] == ["finished"] * 4
    assert not any(trial.failures for trial in records)
    assert any(trial.lineage for trial in records)
    for result in outcome.results:
        assert result.rows[-1]["epoch"] == 5
    kept = [name for name in sweep_store.list() if "/checkpoint_" in name]
    assert len(kept) < 4 * 5  # those that no recipient needs are deleted
    assert {trial.directory for trial in records} == {name.partition("/")[0] for name in kept}


def test_weights_of_worse_trials_are_deleted_and_the_best_trial_continues(
    search: Search, sweep_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = search({"num_samples": 3}, keep={"trials": 1, "min_free_gib": 0})
    ranked = sweeping.start(spec).results
    weights = {name.partition("/")[0] for name in sweep_store.list() if name.endswith(".pt")}
    assert weights == {ranked[0].record.directory}
    monkeypatch.setattr(location, "_mirrors", {})
    done = invoke("extend", sweep_store.uri, "--top", 1, "--epochs", 6, "--allow-custom-model")
    assert done.exit_code == 0, done.output
    best = read_results(new_mirror(sweep_store, monkeypatch), "val_acc", "max")
    assert sorted(result.rows[-1]["epoch"] for result in best) == [4, 4, 6]


def test_a_running_sweep_is_stopped_by_a_file_in_object_storage(
    search: Search, sweep_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop() -> None:
        while not any(name.endswith("metrics.jsonl") for name in sweep_store.list()):
            time.sleep(0.1)
        sweep_store.write("stop", b"")

    spec = search({"num_samples": 1}, config={"training": {"epochs": 100_000}})
    thread = threading.Thread(target=stop)
    thread.start()
    outcome = sweeping.start(spec)
    thread.join()
    assert outcome.paused == "stop"
    assert "stop" not in sweep_store.list()
    directory = new_mirror(sweep_store, monkeypatch)
    (epochs,) = sweeping.epochs(directory).values()
    assert epochs == list(range(1, len(epochs) + 1))


def test_without_checkpoints_only_tables_are_uploaded(
    search: Search, sweep_store: ObjectStore
) -> None:
    outcome = sweeping.start(search({"num_samples": 2}, config={"checkpoint": {"enabled": False}}))
    assert outcome.record.state == "finished"
    assert set(sweep_store.list()) == {
        "search.yaml",
        "sweep.json",
        "trials.csv",
        "best_config.yaml",
    }


def test_a_failed_trial_is_retried_from_object_storage(
    search: Search, sweep_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"model": {"name": "failing_models:dies_once"}, "training": {"test_frequency": 100}}
    sweeping.start(search({"num_samples": 2}, config=config))
    directory = new_mirror(sweep_store, monkeypatch)
    assert sweeping.epochs(directory) == {n: [1, 2, 3, 4] for n in range(2)}
    failures = [failure for trial in sweeping.trials(directory) for failure in trial.failures]
    assert {failure.cause for failure in failures} == {"lost_worker"}
