"""`python -m tests.benchmarks.scale [TRIALS ...]`: what long sweeps cost a trial, and the driver.

Real sweeps as the command runs them: digits, a tiny model, one epoch a trial, two trials at once.
Each in a new process, whose peak memory is the driver's. Ray's start is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CPUS = 2
SIZES = (100, 300, 1000)
LAST = 100
"""Trials at the end of a sweep that are compared with the mean of all."""

SEARCH: dict[str, Any] = {
    "name": "scale",
    "config": {
        "dataset": {"name": "digits", "val_split": 0.2},
        "model": {"name": "tiny_models:mlp"},
        "training": {"epochs": 1, "batch_size": 256},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "tensorboard": {"enabled": False},
        "progress": {"enabled": False},
    },
    "space": {"optimizer.learning_rate": {"loguniform": [1e-4, 1.0]}},
    "keep": {"min_free_gib": 0},
}


def one(trials: int, scheduler: str) -> dict[str, Any]:
    """Runs one sweep in this process and says what it took."""
    import ray

    from sweeps.cluster.session import ENVIRONMENT, start_ray
    from sweeps.execution.launch import start_sweep
    from sweeps.execution.run_options import RunOptions
    from sweeps.spec.load import parse_search

    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    ray.init(address="local", num_cpus=CPUS, include_dashboard=False, log_to_driver=False)
    start_ray()
    before_mib = _peak_mib()
    with tempfile.TemporaryDirectory() as place:
        data = {
            **SEARCH,
            "config": {**SEARCH["config"], "checkpoint": {"enabled": True, "dir": place}},
            "tune": {"num_samples": trials, "seed": 1, "scheduler": scheduler},
        }
        cpu_s, started = time.process_time(), time.perf_counter()
        outcome = start_sweep(parse_search(data), RunOptions(allow_custom_model=True))
        wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_s
        ended = sorted(datetime.fromisoformat(r.record.ended) for r in outcome.results)
        files = [path for path in outcome.directory.rglob("*") if path.is_file()]
        last_s = (ended[-1] - ended[-LAST]).total_seconds() / (LAST - 1)
        return {
            "trials": len(outcome.results),
            "wall_s": wall_s / trials,
            "last_s": last_s,
            "cpu_s": cpu_s / trials,
            "before_mib": before_mib,
            "peak_mib": _peak_mib(),
            "files": len(files) / trials,
            "kib": sum(path.stat().st_size for path in files) / trials / 1024,
        }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _in_new_process(trials: int, scheduler: str) -> dict[str, Any]:
    paths = [str(ROOT), str(ROOT / "tests" / "support"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", "tests.benchmarks.scale", "--here", "--scheduler", scheduler]
    done = subprocess.run(
        [*command, str(trials)],
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if done.returncode:
        raise RuntimeError(f"the sweep of {trials} failed:\n{done.stdout}\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Runs a sweep of each size and prints a line for it."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--scheduler", default="fifo")
    parser.add_argument("--here", action="store_true", help="one sweep, in this process")
    parser.add_argument("trials", nargs="*", type=int, default=SIZES)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(one(options.trials[0], options.scheduler)))
        return
    print(f"{date.today()}  {os.cpu_count()} CPU cores, {CPUS} trials at once", flush=True)
    for trials in options.trials:
        load = os.getloadavg()[0]
        result = _in_new_process(trials, options.scheduler)
        print(
            f"{trials:5} trials: {result['wall_s']:.3f} s a trial, the last {LAST}: "
            f"{result['last_s']:.3f} s; driver: {result['cpu_s'] * 1000:.1f} ms of CPU a trial, "
            f"peak {result['peak_mib']:.0f} MiB ({result['before_mib']:.0f} before); "
            f"a trial leaves {result['files']:.1f} files, {result['kib']:.1f} KiB; "
            f"load {load:.1f} before",
            flush=True,
        )


if __name__ == "__main__":
    main()
