"""`python -m tests.gpu.packing_quick MODEL [options]`: P1, P2 and P4 in minutes, each way once.

In one process for every count of trials in turn, so that torch is loaded once; then in a process
per trial. GiB is the GPU memory in use at the most, with the processes' own share of it; the GPU
must be idle otherwise. `tests/benchmarks/packing.py` measures the same in rounds.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

import torch

from tests.benchmarks.epoch import Epochs
from tests.benchmarks.launches import EAGER, RECORDED, Launch
from tests.benchmarks.packed_once import PackedCopies
from tests.benchmarks.packing import GIB, POLL_S, Trials, training
from trainable.ray_trial.shared_worker import SharedWorker

ON_GPU = torch.cuda.is_available()
IMAGES = 12_800 if ON_GPU else 128
CORES = os.cpu_count() or 1
LOADERS = 8 if ON_GPU else 0
ONE, MANY = "one process", "processes"


@dataclass(frozen=True)
class Result:
    """Images a second of all trials, and the GPU memory in use at the most."""

    images_per_s: float
    gib: float


class Measurements:
    """Results of one model, printed as they come.

    Args:
        model: Its name.
        launch: How steps are launched.
        seconds: Of each measurement.
    """

    def __init__(self, model: str, launch: Launch, seconds: float) -> None:
        self.failed = False
        self._model, self._launch, self._seconds = model, launch, seconds
        self._results: dict[tuple[str, int], Result] = {}
        self._own_gib = _used_gib()

    def in_one_process(self, worker: SharedWorker, count: int) -> None:
        """Measures some trials in this process."""
        copies = PackedCopies(
            worker,
            training(self._model, IMAGES, self._launch),
            count,
            gpu=1.0 if ON_GPU else 0.0,
            threads=CORES,
        )
        self._measure(ONE, count, lambda: copies.images_per_s(self._seconds))

    def in_processes(self, count: int) -> None:
        """Measures some trials in a process each."""
        trials = Trials(self._model, IMAGES, count, self._launch, self._seconds)
        self._measure(MANY, count, trials.in_processes)

    def print_goals(self, plain_images_per_s: float | None) -> None:
        """Prints the ratios that have goals, as far as their parts were measured.

        Args:
            plain_images_per_s: Of a DataLoader's loop.
        """
        label = f"{self._model}, {self._launch.label}"
        rates = {key: result.images_per_s for key, result in self._results.items()}
        for (way, count), rate in rates.items():
            if count == 1:
                continue
            if plain_images_per_s:
                ratio = rate / plain_images_per_s
                print(f"P1 x{ratio:6.2f}  {label}, {way} K={count} / a DataLoader loop")
            if (alone := rates.get((MANY, 1)) or rates.get((ONE, 1))) is not None:
                print(f"P2 x{rate / alone:6.2f}  {label}, {way} K={count} / alone")
        for way, count in self._results:
            together, apart = self._results.get((ONE, count)), self._results.get((MANY, count))
            if way == ONE and together and apart and apart.gib > 0:
                ratio = together.gib / apart.gib
                print(f"P4 x{ratio:6.2f}  {label}, K={count}, GiB of one process / of processes")

    def _measure(self, way: str, count: int, images_per_s: Callable[[], float]) -> None:
        title = f"{self._model:9}{self._launch.label:10}{way:12} K={count:<3}"
        with PeakMemory() as peak:
            try:
                rate = images_per_s()
            except Exception as error:  # noqa: BLE001 (other counts are still to be measured)
                self.failed = True
                print(f"FAIL {title} {error!r:.150}", flush=True)
                return
        gib = peak.gib if way == ONE else peak.gib - self._own_gib
        self._results[way, count] = Result(rate, gib)
        print(f"P  {title} {rate:9.0f} images/s  {gib:5.2f} GiB", flush=True)


class PeakMemory:
    """Watches the memory of the GPU inside `with`; `gib` is the most that was in use."""

    def __enter__(self) -> PeakMemory:
        self.gib, self._over = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while ON_GPU and not self._over.wait(POLL_S):
            self.gib = max(self.gib, _used_gib())

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def _used_gib() -> float:
    """Returns the memory in use of the GPU, which includes this process's context."""
    if not ON_GPU:
        return 0.0
    free, total = torch.cuda.mem_get_info()
    return (total - free) / GIB


def _plain_images_per_s(model: str) -> float:
    """Returns the images a second of a DataLoader's loop, in its second epoch."""
    epoch = Epochs(model, IMAGES, LOADERS).plain()
    epoch()
    return IMAGES / epoch()


def main() -> None:
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.gpu.packing_quick",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model")
    parser.add_argument("--eager", action="store_true", help="not recorded")
    parser.add_argument("--one-process", type=int, nargs="+", default=[1, 2], metavar="K")
    parser.add_argument("--processes", type=int, nargs="*", default=[1], metavar="K")
    parser.add_argument("--plain", action="store_true", help="a DataLoader's loop, for P1")
    parser.add_argument("--seconds", type=float, default=2.5, help="of each measurement")
    options = parser.parse_args()
    launch = EAGER if options.eager or not ON_GPU else RECORDED
    plain = None
    if options.plain:
        plain = _plain_images_per_s(options.model)
        print(
            f"P  {options.model:9}{'eager':10}DataLoader loop   {plain:9.0f} images/s", flush=True
        )
        if ON_GPU:
            torch.cuda.empty_cache()
    measurements = Measurements(options.model, launch, options.seconds)
    for count in options.processes:
        measurements.in_processes(count)
    worker = SharedWorker(max(options.one_process), CORES)
    for count in options.one_process:
        measurements.in_one_process(worker, count)
    measurements.print_goals(plain)
    sys.stdout.flush()
    os._exit(measurements.failed)  # the worker's own thread has no end


if __name__ == "__main__":
    main()
