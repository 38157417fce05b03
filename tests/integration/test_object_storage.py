"""A sweep in object storage: an S3 server on loopback, and a connection that can be cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sweeps import load_sweep, places
from tests.integration import sweeping
from tests.object_store import ObjectStore, object_store
from trainable.remote import Remote

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("store")) as found:
        yield found


def fresh_desk(uri: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The desk of a process that knows nothing of the sweep."""
    monkeypatch.setattr(places, "_desks", {})
    return places.local(uri)


def uploads(store: ObjectStore) -> tuple[Counter[str], Counter[str]]:
    """How often each file of weights was sent, and how often it was made from another one."""
    sent = [request for request in store.requests() if request.key.endswith(".pt")]
    return (
        Counter(request.key for request in sent if request.is_upload),
        Counter(request.key for request in sent if request.is_copy),
    )


def test_a_sweep_is_paused_resumed_and_read_from_the_store(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
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
    assert outcome.paused == "SIGINT"
    assert list(tmp_path.iterdir()) == []
    remote = Remote(uri)
    assert ".lock" not in remote.list()

    directory = fresh_desk(uri, monkeypatch)
    assert directory != outcome.directory
    assert sweeping.epochs(directory) == {0: [1, 2, 3]}
    outcome = sweeping.resume(directory)
    assert outcome.record.state == "finished"
    for result in map(outcome.grid.__getitem__, range(2)):
        with result.checkpoint.as_directory() as found:
            assert torch.load(Path(found, "checkpoint.pt"))["epoch"] == 4

    sweep = load_sweep(fresh_desk(uri, monkeypatch))
    assert sweep.state == "finished"
    assert sweeping.epochs(sweep.directory) == {0: [1, 2, 3, 4], 1: [1, 2, 3, 4]}
    assert sweep.best().checkpoint is not None
    model = sweep.model(allow_custom_model=True)
    assert model(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    names = set(remote.list())
    assert names >= {"search.yaml", "sweep.json", "events.jsonl", "trials.csv", "best_config.yaml"}
    for trial in sweeping.trials(sweep.directory):
        own = {name.removeprefix(f"{trial.directory}/") for name in names}
        assert own >= {"trial.json", "config.yaml", "metrics.jsonl", "trial.log"}
        weights = {f"checkpoints/{name}.pt" for name in ("epoch_0002", "epoch_0004", "latest")}
        assert own >= weights
    sent, copied = uploads(store)
    # As many as there were states: one a save, whatever its names.
    states = {(r.directory, e) for r in sweeping.trials(sweep.directory) for e in range(1, 5)}
    assert len(states) >= sent.total() >= 4
    assert copied.total() > sent.total()
