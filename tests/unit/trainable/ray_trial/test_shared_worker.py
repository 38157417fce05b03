"""Several trials in one process: results of single trials, and isolated failures."""

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path
from threading import Event
from time import sleep
from typing import Any
from weakref import ReferenceType, ref

import pytest
import torch

from trainable.artifacts import checkpoint
from trainable.artifacts.checkpoint import read_checkpoint
from trainable.artifacts.metrics import read_rows
from trainable.artifacts.tensorboard import TensorBoardWriter
from trainable.errors import DiskFullError
from trainable.ray_trial import trial_run
from trainable.ray_trial.shared_worker import ClosedError, SharedWorker
from trainable.ray_trial.trial_run import TrialRun
from trainable.training.overlapped_epoch import OverlappedEpoch
from trainable.training.trainer import Trainer

EPOCHS = 3


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trial_config(model: str = "tiny_models:dropout_cnn", **sections: Any) -> dict[str, Any]:
    return {
        "seed": {"enabled": True, "value": 7},
        "dataset": {"name": "digits", "val_split": 0.6},
        "model": {"name": model},
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
        "training": {"epochs": EPOCHS, "batch_size": 256},
        "checkpoint": {"enabled": True, "save_frequency": 1},
        "_trial": {"gpu": 0, "allow_custom_model": True},
        **sections,
    }


DETERMINISTIC = {"enabled": True, "deterministic": True}
BUILT_IN = {
    "model": "resnet20",
    "dataset": {"name": "digits", "val_split": 0.9},
    "training": {"epochs": 1, "batch_size": 50},
}
CONFIGS = {
    "a": trial_config(),
    "b": trial_config(optimizer={"name": "adamw", "learning_rate": 0.01}, seed={"enabled": True}),
    "c": trial_config(training={"epochs": EPOCHS, "batch_size": 100}, seed=DETERMINISTIC),
    "noisy": trial_config("drawing_models:noisy", training={"epochs": EPOCHS, "batch_size": 64}),
    "noisy too": trial_config("drawing_models:noisy", seed=DETERMINISTIC),
    "built-in": trial_config(**BUILT_IN),
    "built-in too": trial_config(**BUILT_IN, seed=DETERMINISTIC),
}


def final_states(directory: Path) -> dict[str, Any]:
    return {key: read_checkpoint(directory / key / "checkpoints" / "latest.pt") for key in CONFIGS}


def train(worker: SharedWorker, key: str, directory: Path) -> list[dict[str, Any]]:
    assert worker.open(key, CONFIGS[key], str(directory / key))
    rows = [worker.step(key) for _ in range(CONFIGS[key]["training"]["epochs"])]
    worker.close(key)
    return rows


def test_trials_that_take_turns_have_the_results_of_single_ones(
    tmp_path: Path, assert_same: Callable[[Any, Any], None]
) -> None:
    for key, config in CONFIGS.items():
        run = TrialRun(config, key, tmp_path / "alone" / key)
        while not run.step()["ended"]:
            pass
        run.close()

    worker = SharedWorker(capacity=len(CONFIGS), threads=1)
    with ThreadPoolExecutor(len(CONFIGS)) as pool:
        list(pool.map(lambda key: train(worker, key, tmp_path / "packed"), CONFIGS))
    assert worker.count() == 0
    alone, packed = (final_states(tmp_path / place) for place in ("alone", "packed"))
    assert_same(packed, alone)


def test_the_rows_are_those_of_a_single_trial(
    tmp_path: Path, without_times: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    run = TrialRun(CONFIGS["a"], "a", tmp_path / "alone")
    alone = [without_times(run.step()) for _ in range(EPOCHS)]
    packed = train(SharedWorker(capacity=1, threads=1), "a", tmp_path)
    assert [without_times(row) for row in packed] == alone


def test_a_failed_trial_does_not_affect_others_and_frees_its_place(tmp_path: Path) -> None:
    worker = SharedWorker(capacity=2, threads=1)
    broken = trial_config("failing_models:always_raises")
    assert worker.open("broken", broken, str(tmp_path / "broken"))
    assert worker.open("a", CONFIGS["a"], str(tmp_path / "a"))
    with ThreadPoolExecutor(2) as pool:
        failing, good = (pool.submit(worker.step, key) for key in ("broken", "a"))
        with pytest.raises(RuntimeError, match="no such luck"):
            failing.result(60)
        assert good.result(60)["epoch"] == 1
    assert worker.count() == 1
    with pytest.raises(ClosedError, match="broken"):
        worker.step("broken")
    assert "no such luck" in (tmp_path / "broken" / "trial.log").read_text()
    assert "no such luck" not in (tmp_path / "a" / "trial.log").read_text()


def test_a_trial_that_cannot_be_closed_does_not_block_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = TensorBoardWriter._open

    def on_a_full_disk(curves: TensorBoardWriter) -> Any:
        is_full = "full" in curves._directory.parts
        return Path("/dev/full").open("ab", buffering=0) if is_full else opened(curves)

    monkeypatch.setattr(TensorBoardWriter, "_open", on_a_full_disk)
    config = trial_config("tiny_models:mlp", tensorboard={"enabled": True})
    worker = SharedWorker(capacity=2, threads=1)
    for key in ("full", "a"):
        assert worker.open(key, config, str(tmp_path / key))
    with ThreadPoolExecutor(2) as pool:
        failing, good = (pool.submit(worker.step, key) for key in ("full", "a"))
        with pytest.raises(DiskFullError, match="full: no space left on the disk"):
            failing.result(60)
        assert good.result(60)["epoch"] == 1
    assert worker.count() == 1


@pytest.mark.parametrize(
    "model",
    [
        "failing_models:out_of_memory",
        pytest.param("failing_models:exits", marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_the_memory_of_a_failed_trial_is_freed_immediately(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    models: list[ReferenceType[torch.nn.Module]] = []

    def remembered(*args: Any, **options: Any) -> Trainer:
        trainer = Trainer(*args, **options)
        models.append(ref(trainer.model))
        return trainer

    monkeypatch.setattr(trial_run, "Trainer", remembered)
    worker = SharedWorker(capacity=1, threads=1)
    train(
        worker, "a", tmp_path
    )  # modules that torch imports late keep references to the first trial
    models.clear()
    assert worker.open("a", trial_config(model), str(tmp_path))
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(RuntimeError, match=r"CUDA out of memory|SystemExit\(3\)"):
            worker.step("a")
        while worker.count():
            sleep(0.001)
        worker.close("a")  # returns after the first request has been handled
        assert [model() for model in models] == [None]
    finally:
        gc.enable()


def test_a_worker_opens_no_more_trials_than_its_capacity(tmp_path: Path) -> None:
    worker = SharedWorker(capacity=1, threads=1)
    assert worker.open("a", CONFIGS["a"], None)
    assert not worker.open("b", CONFIGS["b"], None)
    assert worker.open("a", CONFIGS["a"], None)  # a retry replaces the trial itself
    worker.close("a")
    worker.close("a")
    assert worker.open("b", CONFIGS["b"], None)
    assert worker.count() == 1


def test_suspects_are_opened_one_at_a_time() -> None:
    worker = SharedWorker(capacity=3, threads=1)
    settings = {"gpu": 0, "allow_custom_model": True, "suspect": True}
    suspect = trial_config("tiny_models:mlp", _trial=settings)
    assert worker.open("a", suspect, None)
    assert not worker.open("b", suspect, None)
    assert worker.open("c", CONFIGS["c"], None)
    worker.step("a")
    assert worker.open("b", suspect, None)
    assert not worker.open("a", suspect, None)
    worker.close("b")
    assert worker.open("a", suspect, None)


def test_closing_a_trial_during_its_epoch_raises_for_the_caller(tmp_path: Path) -> None:
    worker = SharedWorker(capacity=1, threads=1)
    long = trial_config(training={"epochs": 1, "batch_size": 2})
    assert worker.open("long", long, str(tmp_path))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(worker.step, "long")
        while not (tmp_path / "config.yaml").exists() and not waiting.done():
            pass
        worker.close("long")
        with pytest.raises(ClosedError, match="closed during its epoch"):
            waiting.result(60)
    assert worker.count() == 0


def test_a_saved_trial_continues_in_another_process(
    tmp_path: Path, assert_same: Callable[[Any, Any], None]
) -> None:
    config, directory = CONFIGS["a"], tmp_path / "a"
    first = SharedWorker(capacity=1, threads=1)
    assert first.open("a", config, str(directory))
    first.step("a")
    saved = directory / "checkpoint_000000"
    saved.mkdir()
    first.save_into("a", str(saved))
    second = SharedWorker(capacity=1, threads=1)
    assert second.open("a", config, str(directory))
    second.load("a", str(saved))
    assert [second.step("a")["epoch"] for _ in range(2)] == [2, 3]
    run = TrialRun(config, "a", tmp_path / "alone" / "a")
    for _ in range(EPOCHS):
        run.step()
    latest = "a/checkpoints/latest.pt"
    assert_same(read_checkpoint(tmp_path / latest), read_checkpoint(tmp_path / "alone" / latest))


def test_the_next_epoch_starts_while_a_checkpoint_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = trial_config(model="tiny_models:mlp")
    run = TrialRun(config, "a", tmp_path)
    trained = Event()
    written = checkpoint.write_checkpoint

    def slow_write(state: dict[str, Any], names: Any) -> None:
        assert trained.wait(60)  # times out if nothing is trained meanwhile
        written(state, names)

    monkeypatch.setattr(checkpoint, "write_checkpoint", slow_write)
    first = run.steps()
    images = sum(takewhile(bool, first))
    for _ in first:
        if run._next_epoch is not None and run._next_epoch.is_done:
            trained.set()
    assert images
    latest = tmp_path / "checkpoints" / "latest.pt"
    assert read_checkpoint(latest)["epoch"] == 1
    assert [row["epoch"] for row in read_rows(tmp_path / "metrics.jsonl")] == [1]
    run.save_into(tmp_path)
    assert (tmp_path / "checkpoint.pt").samefile(latest)
    assert run.step()["epoch"] == 2


@pytest.mark.parametrize("dropped_at", [1, 2])
def test_a_load_cancels_the_overlapped_epoch(
    tmp_path: Path,
    assert_same: Callable[[Any, Any], None],
    dropped_at: int,
) -> None:
    run = TrialRun(CONFIGS["a"], "a", tmp_path / "a")
    for _ in range(dropped_at):
        run.step()
    saved = tmp_path / "a" / "checkpoint_000000"
    saved.mkdir()
    run.save_into(saved)
    while run._next_epoch is not None and not run._next_epoch.is_done:
        run._next_epoch.take_step()
    run.load(saved)
    for _ in range(EPOCHS - dropped_at):
        run.step()
    other = TrialRun(CONFIGS["a"], "a", tmp_path / "alone" / "a")
    for _ in range(EPOCHS):
        other.step()
    latest = "a/checkpoints/latest.pt"
    assert_same(read_checkpoint(tmp_path / latest), read_checkpoint(tmp_path / "alone" / latest))


def test_a_failure_in_an_overlapped_epoch_is_raised_with_that_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = TrialRun(trial_config(model="tiny_models:mlp"), "a", tmp_path)
    run.step()
    ahead = run._next_epoch = OverlappedEpoch(
        run._build()
    )  # a slow disk lets the other one come far

    def breaks() -> Any:
        yield 0
        raise RuntimeError("no such luck")

    monkeypatch.setattr(ahead, "_steps", breaks())
    while not ahead.is_done:
        ahead.take_step()
    run.save_into(tmp_path)  # the failure has not been raised yet
    with pytest.raises(RuntimeError, match="no such luck"):
        run.step()
    assert read_checkpoint(tmp_path / "checkpoints" / "latest.pt")["epoch"] == 1


@pytest.mark.slow
def test_opening_and_closing_trials_does_not_affect_a_running_one(
    tmp_path: Path, assert_same: Callable[[Any, Any], None]
) -> None:
    config = trial_config("drawing_models:noisy", training={"epochs": 1, "batch_size": 4})
    run = TrialRun(config, "a", tmp_path / "alone")
    run.step()
    latest = tmp_path / "alone" / "checkpoints" / "latest.pt"
    expected = read_checkpoint(latest)
    (tmp_path / "saved").mkdir()
    run.save_into(tmp_path / "saved")

    worker = SharedWorker(capacity=2, threads=1)
    assert worker.open("a", config, str(tmp_path / "packed"))
    with ThreadPoolExecutor(1) as pool:
        epoch = pool.submit(worker.step, "a")
        for key in ("noisy", "built-in", "c"):
            assert worker.open("b", CONFIGS[key], None)
            worker.step("b")
        assert worker.open("b", config, str(tmp_path / "b"))
        worker.load("b", str(tmp_path / "saved"))  # builds it outside its own turns
        assert not epoch.done()
        epoch.result(60)
    assert_same(read_checkpoint(tmp_path / "packed" / "checkpoints" / "latest.pt"), expected)
