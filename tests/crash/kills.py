"""Draws and makes interruptions of a sweep, and damages its files afterwards."""

from __future__ import annotations

import json
import random
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.crash.reading import ENDED, trial_directories
from tests.crash.session import Session, kill_process

Kind = Literal[
    "worker",
    "driver",
    "all",
    "gcs_server",
    "raylet",
    "SIGINT",
    "SIGTERM",
    "SIGHUP",
    "SIGTERM to the group",
    "SIGINT twice",
    "SIGTERM twice",
]
ENDINGS: dict[Kind, int] = {
    "driver": 8,
    "all": 7,
    "gcs_server": 3,
    "raylet": 3,
    "SIGINT": 1,
    "SIGTERM": 1,
    "SIGHUP": 1,
    "SIGTERM to the group": 1,
    "SIGINT twice": 1,
    "SIGTERM twice": 1,
}
"""Interruptions that end the driver -> how often one is drawn."""
RAY_PROCESSES = ("gcs_server", "raylet")
"""Processes of Ray, after whose death the driver records the sweep as paused and ends."""
RAY_DIED = 4
"""Exit code of the driver then."""

MAX_WORKER_FAULTS = 2
"""Limit of workers that kill themselves in one run."""

EXIT_CODES = {"SIGINT": (130, -2), "SIGTERM": (143, -15), "SIGHUP": (129, -1)}
"""Signal -> exit codes; the negative one is for a signal before the command handles it."""

OPERATIONS = {
    "driver": {
        "any": 90, "replace": 30, "rename": 1, "link": 4, "unlink": 30, "fsync": 30, "write": 60,
        "mkdir": 4,
    },
    "worker": {
        "any": 200, "replace": 30, "link": 25, "unlink": 30, "fsync": 40, "write": 300,
    },
}  # fmt: skip
"""Role -> operation -> the most operations of a process before a fault strikes."""

Trigger = Literal["startup", "epochs", "ending"]


@dataclass(frozen=True)
class Step:
    """An interruption of a running sweep from outside."""

    kind: Kind
    trigger: Trigger
    epochs: int
    """With trigger `epochs`: rows of metrics that the sweep writes before it."""
    delay_s: float
    """Seconds after the trigger."""
    second_s: float
    """Seconds between two signals."""

    @property
    def signal(self) -> str | None:
        """The name of the signal that requests a pause; None for a kill."""
        name = self.kind.partition(" ")[0]
        return name if name in EXIT_CODES else None

    def __str__(self) -> str:
        after = f"+{self.epochs} epochs" if self.trigger == "epochs" else self.trigger
        return f"{self.kind} at {after} +{self.delay_s:.2f} s"


@dataclass(frozen=True)
class RunPlan:
    """The interruptions of one run of the command."""

    faults: list[dict[str, Any]]
    """Processes that kill themselves, as `faults/sitecustomize.py` reads them."""
    steps: list[Step]
    """Interruptions from outside, in order."""

    def __str__(self) -> str:
        faults = [" ".join(map(str, fault.values())) for fault in self.faults]
        return "; ".join([*faults, *map(str, self.steps)]) or "no interruption"


def draw_run(rng: random.Random, *, workers: int) -> RunPlan:
    """Draws the interruptions of one run.

    Args:
        rng: The campaign's generator.
        workers: The most trial workers to kill from outside.
    """
    faults: list[dict[str, Any]] = []
    steps: list[Step] = []
    if rng.random() < 0.3:
        faults.append(_draw_fault(rng, "driver"))
    faults += [
        _draw_fault(rng, "worker") for _ in range(rng.randint(0, min(workers, MAX_WORKER_FAULTS)))
    ]
    steps += [_draw_step(rng, "worker") for _ in range(rng.randint(0, workers))]
    steps.append(_draw_step(rng, rng.choices(list(ENDINGS), list(ENDINGS.values()))[0]))
    return RunPlan(faults, steps)


def _draw_step(rng: random.Random, kind: Kind) -> Step:
    triggers: tuple[Trigger, ...] = ("startup", "epochs", "ending")
    at_startup = 0 if kind in RAY_PROCESSES else 3  # a sweep begins when Ray has started
    chances = (0, 1, 0) if kind == "worker" else (at_startup, 14, 2)
    trigger = rng.choices(triggers, chances)[0]
    longest = {"startup": 9.0, "epochs": 0.4, "ending": 1.5}[trigger]
    return Step(kind, trigger, rng.randint(0, 6), rng.uniform(0, longest), rng.uniform(0, 0.5))


def _draw_fault(rng: random.Random, role: str) -> dict[str, Any]:
    operation = rng.choice(list(OPERATIONS[role]))
    moments = ("before", "after", "torn") if operation == "write" else ("before", "after")
    count = rng.randint(1, OPERATIONS[role][operation])
    return {
        "role": role, "operation": operation, "count": count, "moment": rng.choice(moments),
    }  # fmt: skip


def strike(step: Step, session: Session, rng: random.Random) -> bool:
    """Makes an interruption; returns whether there was a process to interrupt."""
    if session.exit_code is not None:
        return False
    if step.kind == "driver":
        session.kill_driver()
    elif step.kind == "all":
        session.kill_all()
    elif step.kind == "worker":
        workers = session.workers()
        return bool(workers) and kill_process(rng.choice(workers))
    elif step.kind in RAY_PROCESSES:
        processes = session.find(step.kind)
        return bool(processes) and kill_process(rng.choice(processes))
    elif step.kind == "SIGTERM to the group":
        session.signal_group(signal.SIGTERM)
    else:
        number = signal.Signals[str(step.signal)]
        session.signal(number)
        if step.kind.endswith("twice"):
            session.wait(lambda: False, step.second_s)
            session.signal(number)
    return True


DAMAGES = (
    "tuner.pkl deleted",
    "tuner.pkl truncated",
    "experiment states deleted",
    "torn metrics.jsonl",
    "torn events.jsonl",
)


def damage(directory: Path, rng: random.Random, *, torn: bool) -> list[str]:
    """Deletes or truncates Ray's files and tears last lines, like a kill; returns the damages.

    Args:
        directory: The sweep directory.
        rng: The campaign's generator.
        torn: Whether lines may be torn, which is wrong while a process still writes.
    """
    damages = []
    for kind in DAMAGES:
        chosen = rng.random() < 0.3
        if chosen and (torn or not kind.startswith("torn")) and _damage(directory, kind, rng):
            damages.append(kind)
    return damages


def _damage(directory: Path, kind: str, rng: random.Random) -> bool:
    pickle = directory / "tuner.pkl"
    if kind == "tuner.pkl deleted" and pickle.exists():
        pickle.unlink()
        return True
    if kind == "tuner.pkl truncated" and pickle.exists():
        pickle.write_bytes(pickle.read_bytes()[: rng.randint(0, 200)])
        return True
    if kind == "experiment states deleted":
        states = list(directory.glob("experiment_state-*.json"))
        for path in states:
            path.unlink()
        return bool(states)
    if kind == "torn metrics.jsonl":
        return any([_tear(path / "metrics.jsonl", rng) for path in _list_unended(directory)])
    if kind == "torn events.jsonl":
        return _tear(directory / "events.jsonl", rng)
    return False


def _tear(path: Path, rng: random.Random) -> bool:
    """Appends the beginning of another line, like a write that a kill cut short."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    if not lines or not lines[-1].endswith(b"\n"):
        return False
    with path.open("ab") as file:
        file.write(lines[-1][: rng.randint(1, len(lines[-1]) - 1)])
    return True


def _list_unended(directory: Path) -> list[Path]:
    return [
        path
        for path in trial_directories(directory)
        if json.loads((path / "trial.json").read_text())["state"] not in ENDED
    ]
