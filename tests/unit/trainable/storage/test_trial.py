"""A trial in object storage: every node starts with the content of the store."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainable.ray_trial.test_tune_storage import make_storage
from trainable.artifacts.checkpoint import read_checkpoint
from trainable.artifacts.metrics import read_rows
from trainable.ray_trial.classifier import ClassifierTrainable
from trainable.storage import scratch
from trainable.storage.object_store import ObjectStore

MakeTrial = Callable[..., ClassifierTrainable]
Node = Callable[..., ClassifierTrainable]
SECTIONS: dict[str, Any] = {
    "training": {"epochs": 6},
    "tensorboard": {"enabled": True},
    "checkpoint": {"enabled": True, "save_frequency": 1},
}


@pytest.fixture
def uri() -> str:
    return f"memory://{uuid.uuid4().hex}/sweep"


@pytest.fixture
def on_node(make_trial: MakeTrial, tmp_path: Path, uri: str) -> Node:
    """Starts a trial on a node; every node has its own disk."""

    def on_node(node: str, trial: str = "trial", **options: Any) -> ClassifierTrainable:
        storage = make_storage(tmp_path / node / "run", trial)
        settings = {"remote": {"uri": uri, "donates": options.pop("donates", False)}, **options}
        return make_trial(storage=storage, _trial=settings, **SECTIONS)

    return on_node


def train(trial: ClassifierTrainable, epochs: int) -> Any:
    checkpoint = None
    for _ in range(epochs):
        if trial.train()["should_checkpoint"]:
            checkpoint = trial.save()
    return checkpoint


def epochs(store: ObjectStore, directory: Path) -> list[int]:
    store.download("metrics.jsonl", directory / "pulled.jsonl")
    return [row["epoch"] for row in read_rows(directory / "pulled.jsonl")]


def read_stored(store: ObjectStore, name: str, tmp_path: Path) -> dict[str, Any]:
    store.download(name, tmp_path / "one.pt")
    return read_checkpoint(tmp_path / "one.pt")


def test_an_epoch_is_in_the_store_before_it_is_reported_and_local_files_are_deleted(
    on_node: Node, tmp_path: Path, uri: str
) -> None:
    trial = on_node("a")
    store = ObjectStore(uri).child("trial")
    for epoch in (1, 2):
        trial.train()
        assert epochs(store, tmp_path) == list(range(1, epoch + 1))
        assert read_stored(store, "checkpoints/latest.pt", tmp_path)["epoch"] == epoch
        trial.save()
        name = f"checkpoint_{epoch - 1:06d}/checkpoint.pt"
        assert read_stored(store, name, tmp_path)["epoch"] == epoch
    trial.stop()
    assert not (tmp_path / "a" / "run" / "sweep" / "trial").exists()
    assert f"checkpoints/epoch_{1:04d}.pt" in store.list()


def test_on_the_drivers_node_only_weights_are_deleted(on_node: Node, tmp_path: Path) -> None:
    trial = on_node("a")
    (tmp_path / "a" / "run" / scratch.DRIVER_FILE).touch()
    train(trial, 1)
    directory = tmp_path / "a" / "run" / "sweep" / "trial"
    (directory / "trial.json").write_text("{}")
    trial.stop()
    assert {"metrics.jsonl", "config.yaml", "trial.json"} <= {
        path.name for path in directory.iterdir()
    }
    assert list(directory.rglob("*.pt")) == []


def test_a_trial_continues_on_another_node_as_if_it_had_not_moved(
    on_node: Node, make_trial: MakeTrial, tmp_path: Path, uri: str, assert_same: Any
) -> None:
    first = on_node("a", keep_epochs=2)
    checkpoint = train(first, 3)
    first.stop()
    second = on_node("b", keep_epochs=2)
    second.restore(checkpoint)
    train(second, 3)
    second.stop()
    store = ObjectStore(uri).child("trial")
    assert epochs(store, tmp_path) == [1, 2, 3, 4, 5, 6]
    names = {name for name in store.list() if name.startswith("checkpoints/epoch")}
    assert names == {"checkpoints/epoch_0005.pt", "checkpoints/epoch_0006.pt"}
    log = (store.read("trial.log") or b"").decode()
    assert [line.split("/")[0] for line in log.splitlines() if line.startswith("epoch ")] == [
        f"epoch {epoch}" for epoch in range(1, 7)
    ]
    whole = make_trial(storage=make_storage(tmp_path / "whole"), **SECTIONS)
    train(whole, 6)
    latest = tmp_path / "whole" / "sweep" / "trial" / "checkpoints" / "latest.pt"
    moved, unmoved = read_stored(store, "checkpoints/latest.pt", tmp_path), read_checkpoint(latest)
    assert_same(moved["model_state_dict"], unmoved["model_state_dict"])
    assert_same(moved["optimizer_state_dict"], unmoved["optimizer_state_dict"])


def test_old_checkpoint_directories_are_deleted_unless_other_trials_may_load_them(
    on_node: Node, uri: str
) -> None:
    for name, donates, left in (("alone", False, [4, 5]), ("donor", True, [0, 1, 2, 3, 4, 5])):
        trial = on_node("a", name, donates=donates)
        train(trial, 6)
        names = sorted(
            n for n in ObjectStore(uri).child(name).list() if n.startswith("checkpoint_")
        )
        assert names == [f"checkpoint_{index:06d}/checkpoint.pt" for index in left]


def test_a_recipient_loads_the_checkpoint_of_a_donor_on_another_node(
    on_node: Node, tmp_path: Path, uri: str
) -> None:
    checkpoint = train(on_node("a", "donor", donates=True), 3)
    own = on_node("a", "recipient", donates=True)
    train(own, 1)
    best = own.train()["best_acc"]
    own.save()
    own.stop()
    recipient = on_node("b", "recipient", donates=True)
    recipient.restore(checkpoint)
    row = recipient.train()
    assert row["epoch"] == 4
    assert row["best_acc"] >= best
    assert epochs(ObjectStore(uri).child("recipient"), tmp_path) == [1, 2, 4]


def test_a_trial_resumes_from_the_store_and_inherits_the_best_state(
    on_node: Node, make_trial: MakeTrial, tmp_path: Path, uri: str, assert_same: Any
) -> None:
    train(on_node("a", "source"), 3)
    source = ObjectStore(uri).child("source")
    best = read_stored(source, "checkpoints/best.pt", tmp_path)
    checkpoint = {**SECTIONS["checkpoint"], "resume": f"{source.uri}/checkpoints/latest.pt"}
    trial = make_trial(
        storage=make_storage(tmp_path / "b", "heir"),
        _trial={"remote": {"uri": uri, "donates": False}},
        **{**SECTIONS, "checkpoint": checkpoint, "optimizer": {"learning_rate": 1e-9}},
    )
    row = trial.train()
    assert (row["epoch"], row["best_acc"], row["best_epoch"]) == (4, best["best_acc"], 3)
    heir = ObjectStore(uri).child("heir")
    assert_same(read_stored(heir, "checkpoints/best.pt", tmp_path), best)
    assert read_stored(heir, "checkpoints/latest.pt", tmp_path)["epoch"] == 4
