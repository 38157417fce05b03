"""Recorded trainings, against the same ones launched kernel by kernel."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from tests.gpu.checks.common import (
    ADAMW,
    ON_GPU,
    SGD,
    Check,
    assert_close,
    assert_recorded,
    counted,
    losses,
    need_gpu,
    state_of,
    trained,
    trainer_of,
)
from trainable.experiment.async_checkpoint import take_snapshot
from trainable.training.gpu.cuda_graphs import RECORDED

LIMIT = 1e-2
OWN = "tests.gpu.models:"


def as_eager(**values: Any) -> str:
    """Compares a recorded training with an eager one."""
    results = []
    for graph in (False, values.pop("graph", True)):
        trainer = trainer_of(graph=graph, **values)
        rows = trained(trainer)
        results.append((state_of(trainer), losses(rows)))
    assert trainer.graph_status == RECORDED, trainer.graph_status
    assert_recorded(rows[-1])
    near = assert_close(results[1], results[0], LIMIT)
    return f"{near}, loss {rows[-1]['train_loss']:.3f}, {rows[-1]['cuda_graph']}"


def own_model_by_default() -> str:
    trainer = trainer_of(graph="auto", model=f"{OWN}Drops")
    row = trained(trainer, 1)[0]
    assert trainer.graphs is None
    need_gpu()
    assert "own model" in row["cuda_graph"], row["cuda_graph"]
    return row["cuda_graph"]


def refused(model: str) -> str:
    """A model that decides in Python is not recorded; its results are those of an eager one."""
    results = []
    for graph in (False, True):
        trainer = trainer_of(graph=graph, model=f"{OWN}{model}")
        rows = trained(trainer)
        results.append((state_of(trainer), losses(rows)))
    assert trainer.graphs is not None
    assert trainer.graphs.failure is not None, "it was recorded"
    assert_close(results[1], results[0], 0.0)
    return f"refused: {trainer.graphs.failure}"


def loaded_tensors() -> str:
    """Loads values only, as after an exploit that changes the learning rate at most."""
    trainer, straight = trainer_of(graph=True), trainer_of(graph=True)
    recorder = counted(trainer)
    trained(trainer, 1)
    before = recorder.recordings
    trainer.load_state_dict(state_of(trainer))
    trained(trainer, 1)
    assert before > 0
    assert recorder.recordings == before, f"{recorder.recordings - before} recordings more"
    trained(straight)
    near = assert_close(state_of(trainer), state_of(straight), 1e-3)
    return f"{before} recordings in all, {near}"


def loaded_hyperparameters() -> str:
    """Loads another weight decay, which a recording holds as a number."""
    donor = trainer_of(optimizer={**SGD, "weight_decay": 0.1})
    trained(donor, 1)
    state = state_of(donor)
    states = []
    for graph in (False, True):
        trainer = trainer_of(graph=graph)
        recorder = counted(trainer) if graph else None
        trained(trainer, 1)
        before = recorder.recordings if recorder else 0
        trainer.load_state_dict(state)
        trained(trainer, 1)
        states.append(state_of(trainer))
    assert recorder is not None
    assert recorder.recordings > before, "not recorded anew"
    return f"recorded anew, {assert_close(states[1], states[0], LIMIT)}"


def snapshots() -> str:
    trainer = trainer_of(graph=True, amp="float16", model="resnet18" if ON_GPU else "resnet20")
    trained(trainer, 1)
    before = state_of(trainer)
    started = time.perf_counter()
    snapshot = take_snapshot(trainer)
    stalled = time.perf_counter() - started
    trained(trainer, 1)
    snapshot.wait()
    near = assert_close(snapshot.state, before, 0.0)
    return f"{near}; the first one stalled the training for {stalled * 1e3:.1f} ms"


def peak_memory() -> str:
    need_gpu()
    rows = trained(trainer_of(graph=True, amp="bfloat16"), 3)
    peaks = [row["peak_memory_gib"] for row in rows]
    assert_recorded(rows[-1])
    assert min(peaks[1:]) >= peaks[0], f"{peaks}"
    return ", ".join(f"{peak:.3f}" for peak in peaks) + " GiB"


CHECKS: dict[str, Check] = {
    "auto, bfloat16": partial(as_eager, graph="auto", amp="bfloat16"),
    "sgd float32": partial(as_eager, optimizer=SGD),
    "sgd float16": partial(as_eager, optimizer=SGD, amp="float16"),
    "adamw bfloat16": partial(as_eager, optimizer=ADAMW, amp="bfloat16"),
    "mobilenetv1": partial(as_eager, model="mobilenetv1", amp="bfloat16"),
    "own model, dropout": partial(as_eager, optimizer=ADAMW, amp="bfloat16", model=f"{OWN}Drops"),
    "own model, auto": own_model_by_default,
    "coin in Python": partial(refused, "Tosses"),
    "weight replaced": partial(refused, "Restless"),
    "tensors loaded": loaded_tensors,
    "other decay loaded": loaded_hyperparameters,
    "snapshot": snapshots,
    "peak memory": peak_memory,
}
