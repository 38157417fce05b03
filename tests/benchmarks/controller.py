"""T1 to T4: what the controller costs a trial and a result. Each side runs in a new process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.sides import Figure, compare

ROOT = Path(__file__).parents[2]
CPUS = 2
EPOCH_S = 1.0


def run(side: str, trials: int, epochs: int, epoch_s: float) -> float:
    """Seconds from the first trial's creation to the end of the sweep, start-up left out."""
    command = [sys.executable, "-m", "tests.benchmarks.sweep_once", side]
    command += [str(trials), str(epochs), str(epoch_s)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        raise RuntimeError(f"{side} sweep failed:\n{done.stdout}\n{done.stderr}")
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def t1() -> Figure:
    """Seconds a trial that does nothing; the ratio is trials a second, ours by Tune's default."""
    return compare(
        "T1",
        "no-op trials: default Tune / ours, seconds a trial",
        lambda: run("tune", 20, 1, 0.0) / 20,
        lambda: run("ours", 100, 1, 0.0) / 100,
        goal=">= 20",
        rounds=3,
        warm_up=0,
    )


def t2() -> Figure:
    """Whether a trial costs the same late in a long sweep."""
    return compare(
        "T2",
        "a no-op trial among 1,000 / among 100, ours",
        lambda: run("ours", 100, 1, 0.0) / 100,
        lambda: run("ours", 1000, 1, 0.0) / 1000,
        goal="<= 1.2",
        rounds=1,
        warm_up=0,
        ours_over_other=True,
    )


def t3() -> Figure:
    """A sweep of 1 s epochs by the time that its epochs take on all slots."""
    trials, epochs = 40, 2
    ideal = trials * epochs * EPOCH_S / CPUS
    return compare(
        "T3",
        f"{trials} trials of {epochs} epochs of 1 s on {CPUS} slots / the ideal",
        lambda: ideal,
        lambda: run("ours", trials, epochs, EPOCH_S),
        goal="<= 1.05",
        rounds=3,
        warm_up=0,
        ours_over_other=True,
    )


def t4() -> Figure:
    """Seconds a result, no epoch taking any time."""
    return compare(
        "T4",
        "a result: ours / Tune with its default loggers",
        lambda: run("tune_reusing", 4, 200, 0.0) / 800,
        lambda: run("ours", 4, 200, 0.0) / 800,
        goal="<= 0.5",
        rounds=3,
        warm_up=0,
        ours_over_other=True,
    )
