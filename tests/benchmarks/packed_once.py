"""`python -m tests.benchmarks.packed_once ORDER`: trials in one process, a batch of each in turn.

`ORDER` is JSON: `config`, `copies`, `threads`, `gpu`, `seconds`. Prints the images a second of all
of them together.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

from trainable.packed import PackedWorker
from trainable.trial_settings import SETTINGS


def images_per_s(order: dict[str, Any]) -> float:
    """Trains the copies for a while after an epoch that does not count."""
    copies, images = order["copies"], order["config"]["dataset"]["num_train"]
    worker = PackedWorker(copies, order["threads"])
    config = {**order["config"], SETTINGS: {"gpu": order["gpu"], "cpu": order["threads"]}}
    keys = [f"copy{number}" for number in range(copies)]
    for key in keys:
        worker.open(key, config, None)
    together = threading.Barrier(copies + 1)
    done = [0] * copies
    ends = [0.0] * copies

    def train(number: int) -> None:
        worker.step(keys[number])
        together.wait()
        started = time.perf_counter()
        while time.perf_counter() - started < order["seconds"]:
            worker.step(keys[number])
            done[number] += 1
        ends[number] = time.perf_counter() - started

    threads = [threading.Thread(target=train, args=(number,)) for number in range(copies)]
    for thread in threads:
        thread.start()
    together.wait()
    for thread in threads:
        thread.join()
    return sum(images * count / end for count, end in zip(done, ends, strict=True))


if __name__ == "__main__":
    print(images_per_s(json.loads(sys.argv[1])), flush=True)
    os._exit(0)  # the worker's own thread has no end
