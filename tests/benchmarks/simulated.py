"""`python -m tests.benchmarks.simulated [--trials N] [--gpus N]`: the driver in a large sweep.

Trials, searcher, scheduler, recorder and their files are those of a real sweep. Ray, Tune's
controller and the trainings are not there: a clock is moved on to the next epoch's end. So the
figures are what our own code costs the driver, and how that grows.
"""

from __future__ import annotations

import argparse
import heapq
import os
import random
import tempfile
import time
from collections import defaultdict
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray.train._internal.storage import StorageContext
from ray.tune import Trainable
from ray.tune.experiment import Trial
from ray.tune.registry import register_trainable
from ray.tune.schedulers import TrialScheduler

from sweeps.cluster.placement import Reservation
from sweeps.execution import tune_run
from sweeps.execution.run_options import RunOptions
from sweeps.results.stored_spec import open_sweep
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import SweepRecord, now
from trainable.artifacts.metrics import MetricsFile

EPOCH_S = 60.0
EVENTS_A_RESULT = 2
"""Steps of Tune's loop for one result: a start or a save comes with it."""
PARTS = ("source", "scheduler", "recorder")


class Controller:
    """Calls the parts of a run in the order in which Tune's controller does.

    Args:
        run: Of a sweep.
        spec: Its search file.
        layout: Where it lies.
    """

    def __init__(self, run: tune_run.TuneRun, spec: SearchSpec, layout: SweepLayout) -> None:
        self._run = run
        self._layout = layout
        self._epochs = spec.max_epochs
        self.trials: list[Any] = []
        self._live: set[Any] = set()
        self._heap: list[tuple[float, int, Any]] = []
        self._history: dict[str, MetricsFile] = {}
        self.clock = 0.0
        self.results = 0
        self.spent: dict[str, float] = defaultdict(float)
        self.search_alg = run._source
        register_trainable("nothing", Trainable)
        storage = StorageContext(str(layout.directory.parent), layout.directory.name)
        experiment = SimpleNamespace(spec={"run": "nothing", "storage": storage})
        self._call("source", run._source.add_configurations, [experiment])

    def _call(self, part: str, function: Any, *args: Any, **more: Any) -> Any:
        started = time.thread_time()
        try:
            return function(*args, **more)
        finally:
            self.spent[part] += time.thread_time() - started

    # What schedulers ask.

    def get_trials(self) -> list[Any]:
        return self.trials

    def get_live_trials(self) -> set[Any]:
        return self._live

    def stop_trial(self, trial: Any) -> None:
        raise NotImplementedError("only schedulers that stop the trial they are asked about")

    # The loop.

    def run_until(self, trials: int) -> None:
        """Until so many trials have been made, or all have ended."""
        while len(self.trials) < trials and (self._heap or not self.trials):
            self._step()

    def run_out(self) -> None:
        """Until every trial has ended."""
        while self._heap:
            self._step()

    def _step(self) -> None:
        recorder, scheduler, source = (
            self._run._recorder, self._run._scheduler, self._run._source,
        )  # fmt: skip
        for event in range(EVENTS_A_RESULT):
            self._call("recorder", recorder.on_step_begin, self.results, self.trials)
            if not self._call("source", source.is_finished):
                while (trial := self._call("source", source.next_trial)) is not None:
                    self.trials.append(trial)
                    self._live.add(trial)
                    self._call("scheduler", scheduler.on_trial_add, self, trial)
            while (
                trial := self._call("scheduler", scheduler.choose_trial_to_run, self)
            ) is not None:
                self._start(trial)
            if event == 0 and self._heap:
                self._finish_an_epoch()

    def _start(self, trial: Any) -> None:
        trial.set_status(Trial.RUNNING)
        self._call("recorder", self._run._recorder.on_trial_start, 0, self.trials, trial)
        self._later(trial, 1)

    def _later(self, trial: Any, epoch: int) -> None:
        took = EPOCH_S * random.Random(f"{trial.trial_id} {epoch}").uniform(0.5, 1.5)
        heapq.heappush(self._heap, (self.clock + took, epoch, trial))

    def _finish_an_epoch(self) -> None:
        recorder, scheduler, source = (
            self._run._recorder, self._run._scheduler, self._run._source,
        )  # fmt: skip
        self.clock, epoch, trial = heapq.heappop(self._heap)
        self.results += 1
        row = _row(trial.trial_id, epoch)
        directory = self._layout.directory / source.records[trial.trial_id].directory
        history = self._history.setdefault(
            trial.trial_id, MetricsFile(directory / "metrics.jsonl")
        )
        history.append(row)  # the worker's
        done = epoch >= self._epochs
        result = {**row, "training_iteration": epoch, "trial_id": trial.trial_id, "done": done}
        self._call("source", source.on_trial_result, trial.trial_id, result)
        decision = TrialScheduler.STOP
        if not done:
            decision = self._call("scheduler", scheduler.on_trial_result, self, trial, result)
        trial.run_metadata.last_result = result
        self._call("recorder", recorder.on_trial_result, 0, self.trials, trial, result)
        if decision == TrialScheduler.CONTINUE:
            self._later(trial, epoch + 1)
            return
        self._call("scheduler", scheduler.on_trial_complete, self, trial, result)
        self._call("source", source.on_trial_complete, trial.trial_id, result)
        self._call("recorder", recorder.on_trial_complete, 0, self.trials, trial)
        trial.set_status(Trial.TERMINATED)
        self._live.discard(trial)
        self._history.pop(trial.trial_id)


def _row(trial: str, epoch: int) -> dict[str, Any]:
    quality = random.Random(trial).random()
    value = quality * (1 - 0.5**epoch)
    losses = {"train_loss": 1 - value, "val_loss": 1 - value, "train_acc": value}
    return {"epoch": epoch, **losses, "val_acc": value, "best_acc": value, "epoch_s": EPOCH_S}


def search_file(place: Path, options: argparse.Namespace) -> SearchSpec:
    """Search file of the simulated sweep."""
    config = {
        "dataset": {"name": "digits", "val_split": 0.2},
        "model": {"name": "resnet20"},
        "training": {"epochs": 9},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "checkpoint": {"enabled": True, "dir": str(place)},
        "tensorboard": {"enabled": False},
    }
    space = {
        "optimizer.learning_rate": {"loguniform": [1e-4, 1.0]},
        "optimizer.weight_decay": {"loguniform": [1e-6, 1e-2]},
        "training.batch_size": {"choice": [32, 64, 128]},
    }
    tune = {
        "num_samples": options.trials,
        "seed": 1,
        "scheduler": options.scheduler,
        "search_alg": options.search,
    }
    keep = {"trials": options.keep if options.keep == "all" else int(options.keep)}
    data = {"name": "simulated", "config": config, "space": space, "tune": tune, "keep": keep}
    return parse_search({**data, "resources": {"cpu": 1, "gpu": 1}})


def rss_mib() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def new_run(spec: SearchSpec, layout: SweepLayout, records: list[Any]) -> tune_run.TuneRun:
    """A run as the command makes it."""
    record = SweepRecord("simulated", "running", now())
    share = {"cpu": 1.0, "gpu": 1.0}
    return tune_run.TuneRun(spec, layout, record, share, records, RunOptions())


def main() -> None:
    """Simulates one sweep and prints what it costs, a line for each tenth of its trials."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.simulated")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--gpus", type=int, default=1_000)
    parser.add_argument("--scheduler", default="asha")
    parser.add_argument("--search", default="random")
    parser.add_argument("--keep", default="all")
    options = parser.parse_args()
    tune_run.slots = lambda share: options.gpus
    tune_run.choose_reservation = lambda share, at_once: Reservation(share)
    tune_run.print_line = lambda text: None
    import sweeps.execution.recorder

    sweeps.execution.recorder.print_line = lambda text: None
    with tempfile.TemporaryDirectory() as temporary:
        spec = search_file(Path(temporary), options)
        layout = SweepLayout(Path(temporary) / "simulated")
        layout.directory.mkdir()
        print(f"{date.today()}  {vars(options)}", flush=True)
        controller = Controller(new_run(spec, layout, []), spec, layout)
        _simulate(controller, options.trials)
        _resume(spec, layout)


def _simulate(controller: Controller, trials: int) -> None:
    steps = [trials * part // 10 for part in range(1, 11)]
    for made in [*steps, None]:
        before, results = dict(controller.spent), controller.results
        if made is None:
            controller.run_out()
        else:
            controller.run_until(made)
        count = max(1, controller.results - results)
        each = [(controller.spent[part] - before.get(part, 0.0)) / count * 1000 for part in PARTS]
        parts = "  ".join(f"{part} {ms:.3f}" for part, ms in zip(PARTS, each, strict=True))
        print(
            f"{len(controller.trials):6} trials, {controller.results:6} results, "
            f"{controller.clock / 3600:5.2f} h: ms a result: {parts}  in all {sum(each):.3f}; "
            f"{rss_mib():.0f} MiB",
            flush=True,
        )


def _resume(spec: SearchSpec, layout: SweepLayout) -> None:
    events = layout.events_file.stat().st_size / 2**20
    files = sum(1 for path in layout.directory.rglob("*") if path.is_file())
    print(f"events.jsonl {events:.1f} MiB; {files} files of ours, without checkpoints")
    layout.write_sweep(SweepRecord("simulated", "paused", now()))
    (layout.search_file).write_text(_yaml(spec), encoding="utf-8")
    started = time.perf_counter()
    spec, records = open_sweep(layout.directory)
    read = time.perf_counter()
    Controller(new_run(spec, layout, records), spec, layout)
    print(f"resume: records {read - started:.1f} s, rebuild {time.perf_counter() - read:.1f} s")


def _yaml(spec: SearchSpec) -> str:
    from trainable.config.yaml_reader import dump_yaml

    return dump_yaml(spec.to_dict())


if __name__ == "__main__":
    main()
