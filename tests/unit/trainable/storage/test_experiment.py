"""A single training whose experiment directory is in object storage."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainable.artifacts.checkpoint import read_checkpoint
from trainable.config import TrainConfig, parse_config
from trainable.errors import ExperimentError
from trainable.experiment.fit import Outcome
from trainable.storage import object_store
from trainable.storage.object_store import ObjectStore

MakeConfig = Callable[..., TrainConfig]
RunFit = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "CLAIM_SETTLE_S", 0.0)


@pytest.fixture
def make(tiny_config: MakeConfig) -> MakeConfig:
    base = f"memory://{uuid.uuid4().hex}/experiments"

    def make(name: str = "", resume: str | None = None, epochs: int = 4) -> TrainConfig:
        checkpoint = {"enabled": True, "save_frequency": 2, "dir": base}
        return tiny_config(
            training={"epochs": epochs},
            checkpoint={**checkpoint, "experiment_name": name, "resume": resume},
            tensorboard={"enabled": True},
        )

    return make


def state(uri: str | None, name: str, tmp_path: Path) -> dict[str, Any]:
    assert uri is not None
    ObjectStore(uri).download(f"checkpoints/{name}", tmp_path / "downloaded.pt")
    return read_checkpoint(tmp_path / "downloaded.pt")


def names(uri: str | None) -> set[str]:
    assert uri is not None
    listed = ObjectStore(uri).list()
    return {name for name in listed if not name.startswith("tensorboard/events.out.tfevents.")}


def test_the_layout_is_that_of_a_local_one_and_no_local_file_stays(
    make: MakeConfig, run_fit: RunFit, working_directory: Path
) -> None:
    outcome = run_fit(make())
    assert outcome.directory is None
    saved = {f"checkpoints/{n}.pt" for n in ("epoch_0002", "epoch_0004", "latest", "best")}
    assert names(outcome.location) == {"config.yaml", *saved}
    assert list(working_directory.iterdir()) == []


@pytest.mark.parametrize("name", ["mine", ""])
def test_a_training_continues_from_a_uri(
    make: MakeConfig, run_fit: RunFit, tmp_path: Path, name: str, assert_same: Any
) -> None:
    whole = run_fit(make("whole"))
    stopped = run_fit(make(name), stop_after=3)
    assert not stopped.finished
    resumed = run_fit(make(name, stopped.latest))
    assert (resumed.location == stopped.location) == bool(name)
    assert [row["epoch"] for row in resumed.rows] == [4]
    for kind in ("latest.pt", "best.pt"):
        ours = state(resumed.location, kind, tmp_path)
        theirs = state(whole.location, kind, tmp_path)
        assert_same(ours["model_state_dict"], theirs["model_state_dict"])
        assert ours["best_acc"] == theirs["best_acc"]


@pytest.mark.slow
def test_an_earlier_epoch_sets_later_ones_aside_in_the_store(
    make: MakeConfig, run_fit: RunFit, tmp_path: Path, assert_same: Any
) -> None:
    first = run_fit(make("mine"))
    assert first.location is not None
    kept = {name: state(first.location, name, tmp_path) for name in ("latest.pt", "best.pt")}
    second = run_fit(make("mine", f"{first.location}/checkpoints/epoch_0002.pt", epochs=3))
    moved = {f"abandoned_1/checkpoints/{name}" for name in ("epoch_0004.pt", "latest.pt")}
    saved = {f"checkpoints/{name}" for name in ("epoch_0002.pt", "latest.pt", "best.pt")}
    configs = {"config.yaml", "abandoned_1/config.yaml"}
    assert {name for name in names(first.location) if "tfevents" not in name} == {
        *moved, *saved, *configs
    }  # fmt: skip
    abandoned = state(f"{first.location}/abandoned_1", "latest.pt", tmp_path)
    assert_same(abandoned, kept["latest.pt"])
    assert state(first.location, "latest.pt", tmp_path)["epoch"] == 3
    assert_same(state(first.location, "best.pt", tmp_path), kept["best.pt"])
    assert (second.best_acc, second.best_epoch) == (first.best_acc, first.best_epoch)


@pytest.mark.parametrize("name", ["best.pt", "epoch_0002.pt"])
def test_the_best_state_beside_a_checkpoint_in_the_store_is_inherited(
    make: MakeConfig, run_fit: RunFit, tmp_path: Path, assert_same: Any, name: str
) -> None:
    source = run_fit(make("source", epochs=2))
    assert source.location is not None
    declined = make("source", source.latest).to_dict()
    declined["optimizer"]["learning_rate"] = 1000.0
    assert run_fit(parse_config(declined)).best_epoch == 2
    best = state(source.location, "best.pt", tmp_path)
    other = {"best.pt": "epoch_0002.pt", "epoch_0002.pt": "best.pt"}[name]
    ObjectStore(source.location).delete([f"checkpoints/{other}"])
    config = make("heir", source.latest, epochs=5).to_dict()
    config["optimizer"]["learning_rate"] = 1e-9
    heir = run_fit(parse_config(config))
    assert heir.best_epoch == 2
    assert_same(state(heir.location, "best.pt", tmp_path), best)


def test_a_name_is_used_once(make: MakeConfig, run_fit: RunFit) -> None:
    first = run_fit(make("mine", epochs=1))
    with pytest.raises(ExperimentError, match="already holds an experiment") as raised:
        run_fit(make("mine", epochs=1))
    assert first.latest in str(raised.value)
    places = {run_fit(make(epochs=1)).location for _ in range(3)}
    assert len(places) == 3


def test_a_name_is_free_again_after_a_training_that_failed_in_its_first_epoch(
    make: MakeConfig, run_fit: RunFit
) -> None:
    config = make("mine", epochs=1)
    failing = config.model.model_copy(update={"name": "failing_models:always_raises"})
    with pytest.raises(RuntimeError, match="no such luck"):
        run_fit(config.model_copy(update={"model": failing}))
    assert run_fit(config).finished
