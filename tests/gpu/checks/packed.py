"""Several trials in one process, against each of them alone."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from tests.gpu.checks.common import ON_GPU, Check, assert_close, assert_recorded, data_of
from trainable.artifacts.checkpoint import read_checkpoint
from trainable.ray_trial.shared_worker import SharedWorker
from trainable.ray_trial.trial_run import TrialRun
from trainable.training.trainer import Row

KEYS = ("a", "b", "c")
SETTINGS = {"gpu": 1 if ON_GPU else 0, "cpu": 2, "allow_custom_model": True}
LATEST = "checkpoints/latest.pt"


def _config(number: int, model: str, graph: bool | str, amp: str) -> dict[str, Any]:
    return data_of(
        model,
        graph,
        amp,
        seed={"enabled": True, "value": number, "deterministic": True},
        checkpoint={"enabled": True, "save_frequency": 2},
        _trial=SETTINGS,
    )


def as_alone(model: str, graph: bool | str, amp: str = "bfloat16") -> str:
    """Compares the checkpoints of three packed trials with those of three runs."""
    configs = [_config(number, model, graph, amp) for number in range(len(KEYS))]
    with tempfile.TemporaryDirectory() as place:
        alone, packed = Path(place, "alone"), Path(place, "packed")
        for key, config in zip(KEYS, configs, strict=True):
            run = TrialRun(config, key, alone / key)
            for _ in range(2):
                run.step()
            run.close()
        worker = SharedWorker(len(KEYS), 4 if ON_GPU else 1)

        def train(key: str, config: dict[str, Any]) -> Row:
            worker.open(key, config, str(packed / key))
            rows = [worker.step(key) for _ in range(2)]
            worker.close(key)
            return rows[-1]

        with ThreadPoolExecutor(len(KEYS)) as pool:
            rows = list(pool.map(train, KEYS, configs))
        if graph is not False:
            for row in rows:
                assert_recorded(row)
        states = [
            [read_checkpoint(side / key / LATEST) for key in KEYS] for side in (packed, alone)
        ]
    return f"three at once {assert_close(*states, 1e-2)} as alone, {rows[0]['cuda_graph']}"


def out_of_memory() -> str:
    """One trial runs out of memory; its neighbour is not disturbed."""
    worker = SharedWorker(2, 4)
    worker.open("good", data_of(_trial=SETTINGS), None)
    worker.open("hog", data_of("tests.gpu.models:Hog", _trial=SETTINGS), None)
    with ThreadPoolExecutor(2) as pool:
        hog, good = pool.submit(worker.step, "hog"), pool.submit(worker.step, "good")
        error = hog.exception(60)
        row = good.result(60)
    assert "out of memory" in str(error), error
    return f"its neighbour goes on, loss {row['train_loss']:.2f}"


CHECKS: dict[str, Check] = {
    "eager": partial(as_alone, "resnet20", False),
    "recorded": partial(as_alone, "resnet20", "auto"),
    "recorded, float16": partial(as_alone, "resnet20", True, "float16"),
    "recorded, dropout": partial(as_alone, "tests.gpu.models:Drops", True),
    "out of memory": out_of_memory,
}
