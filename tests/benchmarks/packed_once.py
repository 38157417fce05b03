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

from tests.benchmarks.launches import Launch
from trainable.ray_trial.shared_worker import SharedWorker
from trainable.trial_settings import SETTINGS

WARM_UP_EPOCHS = 2
"""Epochs that do not count: libraries choose kernels, steps are recorded."""


class PackedCopies:
    """Copies of one training in a worker that is already running.

    Args:
        worker: Trains them.
        config: A complete training config.
        copies: How many.
        gpu: The share of a GPU that all of them may use.
        threads: Of the CPU.
    """

    def __init__(
        self,
        worker: SharedWorker,
        config: dict[str, Any],
        copies: int,
        *,
        gpu: float,
        threads: int,
    ) -> None:
        self._worker = worker
        self._config = {**config, SETTINGS: {"gpu": gpu, "cpu": threads}}
        self._images = config["dataset"]["num_train"]
        self._launch = Launch("", cuda_graph=config["training"]["cuda_graph"] is True)
        self._keys = [f"{copies} copies, {number}" for number in range(copies)]
        self._start = threading.Barrier(copies)
        self._rates = dict.fromkeys(self._keys, 0.0)
        self._errors: list[BaseException] = []

    def images_per_s(self, seconds: float) -> float:
        """Trains all copies for a while, after a warm-up, and closes them."""
        threads = [threading.Thread(target=self._train, args=(key, seconds)) for key in self._keys]
        try:
            for key in self._keys:
                self._worker.open(key, self._config, None)
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            for key in self._keys:
                self._worker.close(key)
        if self._errors:
            raise self._errors[0]
        return sum(self._rates.values())

    def _train(self, key: str, seconds: float) -> None:
        try:
            for _ in range(WARM_UP_EPOCHS):
                row = self._worker.step(key)
            self._launch.check_status(row["cuda_graph"])
            self._start.wait()
            started, epochs = time.perf_counter(), 0
            while time.perf_counter() - started < seconds:
                self._worker.step(key)
                epochs += 1
            self._rates[key] = self._images * epochs / (time.perf_counter() - started)
        except threading.BrokenBarrierError:
            pass  # another copy has failed
        except Exception as error:  # noqa: BLE001 (raised by `images_per_s`)
            self._errors.append(error)
            self._start.abort()


def main() -> None:
    """Measures what the order on the command line asks for."""
    order = json.loads(sys.argv[1])
    worker = SharedWorker(order["copies"], order["threads"])
    copies = PackedCopies(
        worker, order["config"], order["copies"], gpu=order["gpu"], threads=order["threads"]
    )
    print(copies.images_per_s(order["seconds"]), flush=True)
    os._exit(0)  # the worker's own thread has no end


if __name__ == "__main__":
    main()
