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


def sweep(side: str, trials: int, epochs: int, epoch_s: float) -> dict[str, float]:
    """Returns the cost of one sweep without Ray's own start; see `sweep_once`."""
    command = [sys.executable, "-m", "tests.benchmarks.sweep_once", side]
    command += [str(trials), str(epochs), str(epoch_s)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        raise RuntimeError(f"{side} sweep failed:\n{done.stdout}\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(side: str, trials: int, epochs: int, epoch_s: float, what: str = "seconds") -> float:
    """One of a sweep's costs."""
    return sweep(side, trials, epochs, epoch_s)[what]


def t1() -> list[Figure]:
    """Seconds a trial that does nothing; the ratio is trials a second, ours by Tune's default.

    The start of the first actors counts. Then the same without it, by Tune with all that is dear
    turned off: there is nothing of ours in that.
    """
    whole = compare(
        "T1",
        "no-op trials: default Tune (20) / ours (100), seconds a trial",
        lambda: run("tune", 20, 1, 0.0) / 20,
        lambda: run("ours", 100, 1, 0.0) / 100,
        goal=">= 20",
        warm_up=0,
    )
    floor = compare(
        "T1b",
        "no-op trials: ours / bare Tune, from the first to the last of 200, seconds a trial",
        lambda: run("tune_bare", 200, 1, 0.0, "between_s") / 200,
        lambda: run("ours", 200, 1, 0.0, "between_s") / 200,
        goal="(floor)",
        warm_up=0,
        ours_over_other=True,
    )
    return [whole, floor]


def t2() -> Figure:
    """Whether a trial costs the same late in a long sweep: its first hundred and its last."""
    costs: dict[str, float] = {}

    def first() -> float:
        costs.update(sweep("ours", 1000, 1, 0.0))
        return costs["first_100_s"] / 100

    return compare(
        "T2",
        "a no-op trial of the last 100 of 1,000 / of the first 100, ours",
        first,
        lambda: costs["last_100_s"] / 100,
        goal="<= 1.2",
        warm_up=0,
        ours_over_other=True,
    )


def t3() -> Figure:
    """A sweep of 1 s epochs by the time that its epochs take on all slots.

    From the call to its return: the start of the actors and the report at the end are in it.
    """
    trials, epochs = 1000, 1
    ideal = trials * epochs * EPOCH_S / CPUS
    return compare(
        "T3",
        f"{trials} trials of {epochs} epoch of 1 s on {CPUS} slots / the ideal",
        lambda: ideal,
        lambda: run("ours", trials, epochs, EPOCH_S),
        goal="<= 1.05",
        rounds=1,  # eight minutes
        warm_up=0,
        ours_over_other=True,
    )


def t4() -> list[Figure]:
    """Seconds a result, from the first epoch to the last; no epoch takes any time."""

    def against(name: str, side: str, what: str, goal: str) -> Figure:
        return compare(
            name,
            f"a result: ours / {what}",
            lambda: run(side, 4, 300, 0.0, "between_s") / 1200,
            lambda: run("ours", 4, 300, 0.0, "between_s") / 1200,
            goal=goal,
            warm_up=0,
            ours_over_other=True,
        )

    return [
        against("T4", "tune_reusing", "Tune with its default loggers", "<= 0.5"),
        against("T4b", "tune_bare", "Tune with none", "(floor)"),
    ]
