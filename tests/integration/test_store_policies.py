"""Exploits, pruning, stops, retries, tables only: sweeps in a store do what others do."""

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
from tests.support.object_store import ObjectStore, object_store
from trainable.storage.object_store import Remote
from trainable.uri import child_uri

pytestmark = [pytest.mark.ray, pytest.mark.slow]

LR = "optimizer.learning_rate"
SPACE = {LR: {"loguniform": [1e-3, 1.0]}}
Search = Callable[..., Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("store")) as found:
        yield found


@pytest.fixture
def base(store: ObjectStore, request: pytest.FixtureRequest) -> str:
    return child_uri(store.uri("sweeps"), request.node.name)


@pytest.fixture
def remote(base: str) -> Remote:
    return Remote(base).child("sweep")


@pytest.fixture
def search(base: str, tmp_path: Path) -> Search:
    def search(tune: dict[str, Any], **more: Any) -> Any:
        changes = more.pop("config", {})
        checkpoint = {"dir": base, "save_frequency": 1, **changes.pop("checkpoint", {})}
        config = {**changes, "checkpoint": checkpoint}
        return sweeping.search(tmp_path, space=SPACE, tune=tune, config=config, **more)

    return search


def fresh_desk(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(location, "_desks", {})
    return location.local(remote.uri)


@pytest.mark.parametrize("process", ["trial", "shared"])
def test_a_population_loads_donors_from_the_store(
    search: Search, remote: Remote, monkeypatch: pytest.MonkeyPatch, process: str
) -> None:
    scheduler = {"name": "pbt", "hyperparam_mutations": [LR], "perturbation_interval": 1}
    tune = {"num_samples": 4, "scheduler": {**scheduler, "quantile_fraction": 0.5}}
    resources = {"cpu": 1, "gpu": 0.5, "process": process}
    spec = search(tune, config={"training": {"epochs": 5}}, resources=resources)
    outcome = sweeping.start(spec)
    directory = fresh_desk(remote, monkeypatch)
    found = sweeping.trials(directory)
    assert [trial.state for trial in found] == ["finished"] * 4
    assert not any(trial.failures for trial in found)
    assert any(trial.lineage for trial in found)
    for result in outcome.results:
        assert result.rows[-1]["epoch"] == 5
    kept = [name for name in remote.list() if "/checkpoint_" in name]
    assert len(kept) < 4 * 5  # those that nobody can load any more are gone
    assert {trial.directory for trial in found} == {name.partition("/")[0] for name in kept}


def test_weights_of_the_worse_go_and_the_best_are_continued(
    search: Search, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = search({"num_samples": 3}, keep={"trials": 1, "min_free_gib": 0})
    ranked = sweeping.start(spec).results
    weights = {name.partition("/")[0] for name in remote.list() if name.endswith(".pt")}
    assert weights == {ranked[0].record.directory}
    monkeypatch.setattr(location, "_desks", {})
    done = invoke("continue", remote.uri, "--top", 1, "--epochs", 6, "--allow-custom-model")
    assert done.exit_code == 0, done.output
    best = read_results(fresh_desk(remote, monkeypatch), "val_acc", "max")
    assert sorted(result.rows[-1]["epoch"] for result in best) == [4, 4, 6]


def test_a_running_sweep_is_stopped_from_elsewhere(
    search: Search, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop() -> None:
        while not any(name.endswith("metrics.jsonl") for name in remote.list()):
            time.sleep(0.1)
        remote.write("stop", b"")

    spec = search({"num_samples": 1}, config={"training": {"epochs": 100_000}})
    asking = threading.Thread(target=stop)
    asking.start()
    outcome = sweeping.start(spec)
    asking.join()
    assert outcome.paused == "stop"
    assert "stop" not in remote.list()
    directory = fresh_desk(remote, monkeypatch)
    (epochs,) = sweeping.epochs(directory).values()
    assert epochs == list(range(1, len(epochs) + 1))


def test_with_checkpoints_off_the_tables_stay(search: Search, remote: Remote) -> None:
    outcome = sweeping.start(search({"num_samples": 2}, config={"checkpoint": {"enabled": False}}))
    assert outcome.record.state == "finished"
    assert set(remote.list()) == {"search.yaml", "sweep.json", "trials.csv", "best_config.yaml"}


def test_a_failed_trial_is_tried_again_from_the_store(
    search: Search, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"model": {"name": "failing_models:dies_once"}, "training": {"test_frequency": 100}}
    sweeping.start(search({"num_samples": 2}, config=config))
    directory = fresh_desk(remote, monkeypatch)
    assert sweeping.epochs(directory) == {n: [1, 2, 3, 4] for n in range(2)}
    failures = [failure for trial in sweeping.trials(directory) for failure in trial.failures]
    assert {failure.cause for failure in failures} == {"lost_worker"}
