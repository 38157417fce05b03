"""Kills and resumes one sweep again and again until it is finished."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.crash.checks import check_wreck
from tests.crash.kills import (
    EXIT_CODES,
    RAY_DIED,
    RAY_PROCESSES,
    RunPlan,
    Step,
    damage,
    draw_run,
    strike,
)
from tests.crash.reading import ENDED, trial_directories
from tests.crash.session import HERE, POLL_S, Session, resume_command, run_command

MAX_RUN_S = 600
"""Limit of one run of the command; a longer one hangs."""
MAX_PAUSE_S = 90
"""Limit from a signal to the end of the driver."""
MAX_WORKERS_END_S = 60
"""Limit from the end of a driver to that of its trials' workers."""
SAVE_FREQUENCY = 3
"""Epochs between checkpoints, which limit the epochs that a kill may lose."""
MAX_INTERRUPTED_RUNS = 40
"""Limit of interrupted runs of one sweep; the next one may finish."""
MAX_LOSSES_PER_EPOCH = 3
"""Limit of lost workers at one epoch of a trial; one more would count as its failure."""

Log = Callable[[str], None]
Draw = Callable[[random.Random, int], RunPlan | None]
"""Draws the interruptions of a run, given how many workers it may lose; None for none."""


@dataclass
class Tally:
    """The counts of a campaign."""

    kills: Counter[str] = field(default_factory=Counter)
    """SIGKILLs that hit, by kind."""
    faults: Counter[str] = field(default_factory=Counter)
    """Kills of a process by itself, by role and operation."""
    pauses: Counter[str] = field(default_factory=Counter)
    damages: Counter[str] = field(default_factory=Counter)
    sweeps: Counter[str] = field(default_factory=Counter)
    resumes: int = 0
    beside_old: int = 0
    """Resumes while processes of the killed run were still alive."""
    lost: list[int] = field(default_factory=list)
    """For each kill and each unfinished trial, the completed epochs that were not saved."""
    differences: list[str] = field(default_factory=list)

    @property
    def killed(self) -> int:
        """Number of all SIGKILLs."""
        return self.kills.total()


def search_file(variant: str) -> Path:
    """Returns the search file of a variant."""
    return HERE / "sweeps" / f"{variant}.yaml"


def write_search_file(variant: str, place: Path) -> Path:
    """Writes a variant's search file, whose sweep directory is in `place / "experiments"`."""
    data = yaml.safe_load(search_file(variant).read_text())
    base = yaml.safe_load((HERE / "sweeps" / data["config"]).read_text())
    base["checkpoint"]["dir"] = str(place / "experiments")
    path = place / f"{variant}.yaml"
    path.write_text(yaml.safe_dump({**data, "name": variant, "config": base}))
    return path


def never_interrupt(rng: random.Random, workers: int) -> RunPlan | None:
    """Draws no interruptions, for an uninterrupted sweep."""
    del rng, workers


def draw_interruptions(rng: random.Random, workers: int) -> RunPlan | None:
    """Draws random interruptions of every kind."""
    return draw_run(rng, workers=workers)


class CrashedSweep:
    """One sweep that is interrupted until it is finished.

    Args:
        variant: The name of its search file.
        place: An empty directory for its files.
        rng: The generator of the interruptions.
        tally: The counts, which are increased.
        log: Called with a line for every event.
    """

    def __init__(
        self, variant: str, place: Path, rng: random.Random, tally: Tally, log: Log
    ) -> None:
        self._rng, self._tally, self._log = rng, tally, log
        self._place = place
        self.directory = place / "experiments" / variant
        self._search_file = write_search_file(variant, place)
        self._ray = Path("/tmp", f"crash{random.getrandbits(32):08x}")
        """Short, because it contains sockets, whose paths are limited."""
        self._sessions: list[Session] = []
        self._saved: dict[str, int] = {}
        self._lost: dict[str, int] = {}
        self._failed = False

    def until_finished(self, draw: Draw) -> bool:
        """Runs and resumes the sweep until it has finished; returns whether all checks passed."""
        try:
            finished = False
            while not (finished or self._failed):
                interrupted = len(self._sessions) < MAX_INTERRUPTED_RUNS
                plan = draw(self._rng, self._count_workers_to_lose()) if interrupted else None
                finished = self._run(plan or RunPlan([], []))
            return not self._failed
        finally:
            for session in self._sessions:
                session.kill_all()
            shutil.rmtree(self._ray, ignore_errors=True)

    def _run(self, plan: RunPlan) -> bool:
        """Runs the command once; returns whether the sweep is finished."""
        session = self._start(plan)
        self._log(f"  run {len(self._sessions)}: {plan}")
        steps = list(plan.steps)
        rows, deadline = self._count_rows(), session.started + MAX_RUN_S
        pause: Step | None = None
        while session.exit_code is None:
            self._count_faults(session)
            if time.monotonic() > deadline:
                self._fail(f"no end within {MAX_PAUSE_S if pause else MAX_RUN_S} s")
                return False
            if steps and pause is None and self._is_due(steps[0], session, rows):
                step = steps[0]
                costs_workers = step.kind in ("worker", *RAY_PROCESSES)
                if costs_workers and not self._count_workers_to_lose(plan):
                    steps.pop(0)
                elif strike(step, session, self._rng):  # otherwise again in the next round
                    steps.pop(0)
                    if step.signal is None:
                        self._count_kill(step.kind, session)
                        if step.kind in RAY_PROCESSES:
                            pause, deadline = step, time.monotonic() + MAX_PAUSE_S
                    else:
                        pause, deadline = step, time.monotonic() + MAX_PAUSE_S
                        self._tally.pauses[step.kind] += 1
                        self._log(f"    sent: {step.kind}")
                    rows = self._count_rows()
            time.sleep(POLL_S)
        self._count_faults(session)
        return self._check_end(session, pause)

    def _start(self, plan: RunPlan) -> Session:
        number = len(self._sessions) + 1
        environment = {"RAY_TMPDIR": str(self._ray)}
        self._plans = self._place / f"faults_{number}.json"
        self._struck: set[Path] = set()
        if plan.faults:
            self._plans.write_text(json.dumps(plan.faults))
            environment |= {
                "CRASH_PLANS": str(self._plans),
                "CRASH_ROOT": str(self.directory.parent),
                "PYTHONPATH": str(HERE / "faults"),
            }
        if (self.directory / "sweep.json").exists():
            as_script = self._rng.random() < 0.5
            command = resume_command(self.directory, as_script=as_script)
            self._tally.resumes += 1
            self._tally.beside_old += any(s.processes() for s in self._sessions)
        else:
            command = run_command(self._search_file)
        session = Session(command, self._place / f"output_{number}.txt", environment)
        self._sessions.append(session)
        return session

    def _is_due(self, step: Step, session: Session, rows: int) -> bool:
        """Returns whether a step is due, after waiting for its delay."""
        if step.trigger == "startup":
            return time.monotonic() - session.started >= step.delay_s
        if step.trigger == "epochs":
            # From the first worker on, so that a step after 0 epochs interrupts its work.
            due = bool(session.workers()) and self._count_rows() >= rows + step.epochs
        else:
            due = self._all_ended()
        if due:
            session.wait(lambda: False, step.delay_s)
        return due

    def _count_faults(self, session: Session) -> None:
        """Counts processes that have killed themselves."""
        for token in sorted(set(self._place.glob(f"{self._plans.name}.*.fired")) - self._struck):
            self._struck.add(token)
            index = int(token.name.split(".")[-2])
            fault = json.loads(self._plans.read_text())[index]
            self._log(f"    {fault['role']} struck at {token.read_text()}")
            self._tally.faults[f"{fault['role']}: {fault['operation']}"] += 1
            self._count_kill(f"fault in {fault['role']}", session)

    def _count_kill(self, kind: str, session: Session) -> None:
        """Counts a kill and checks the files after it."""
        self._tally.kills[kind] += 1
        lost = list(self._check_files(kind).values())
        self._tally.lost += lost
        alive = len(session.processes())
        self._log(f"    killed: {kind}; lost epochs {lost}; {alive} processes left")
        if max(lost, default=0) > SAVE_FREQUENCY:
            self._fail(f"after {kind}: lost epochs {lost}")

    def _check_pause(self, pause: Step | None) -> None:
        """Checks after a run that ended by itself that only a second signal lost epochs."""
        before = self._lost
        lost = self._check_files("a pause" if pause else "the end")
        more = {name: n for name, n in lost.items() if n > before.get(name, 0)}
        keeps = pause is not None and pause.signal and not pause.kind.endswith("twice")
        if more and keeps:
            self._fail(f"{pause.kind} lost epochs {more}")

    def _check_files(self, event: str) -> dict[str, int]:
        """Checks the sweep's files after an interruption; returns the epochs lost by trial."""
        wreck = check_wreck(self.directory, self._saved)
        self._saved |= wreck.saved
        self._lost = wreck.lost
        for difference in wreck.differences:
            self._fail(f"after {event}: {difference}")
        return wreck.lost

    def _check_end(self, session: Session, pause: Step | None) -> bool:
        """Checks the end of a run and prepares the next; returns whether the sweep is finished."""
        code = session.exit_code
        killed = code == -9
        state = self._read_state()
        self._log(f"    exit code {code}, sweep is {state}")
        if not killed:
            expected = (
                [0] if pause is None else [0, *EXIT_CODES.get(str(pause.signal), (RAY_DIED,))]
            )
            states = {0: "finished", RAY_DIED: "paused"}
            if code not in expected or state != states.get(code, state):
                self._fail(f"exit code {code}, expected one of {expected}; sweep is {state}")
            self._check_pause(pause)
            if not session.wait_for_writers(MAX_WORKERS_END_S):
                self._fail(
                    f"workers {session.writers()} outlive the driver by {MAX_WORKERS_END_S} s"
                )
            if code == 0:
                return True
            if code != RAY_DIED:
                return False
        if self._rng.random() < 0.3 and not session.wait_for_writers(MAX_WORKERS_END_S):
            self._fail(f"workers {session.writers()} outlive the driver by {MAX_WORKERS_END_S} s")
        damages = damage(self.directory, self._rng, torn=not session.writers())
        self._tally.damages.update(damages)
        if damages:
            self._log(f"    damaged: {', '.join(damages)}")
        return False

    def _fail(self, text: str) -> None:
        self._failed = True
        text = f"{self.directory}, run {len(self._sessions)}: {text}"
        self._log(f"DIFFERENCE {text}")
        self._tally.differences.append(text)

    def _count_rows(self) -> int:
        """Counts the epochs in all metrics."""
        files = [path / "metrics.jsonl" for path in trial_directories(self.directory)]
        return sum(path.read_bytes().count(b"\n") for path in files if path.exists())

    def _read_records(self) -> list[dict]:
        paths = trial_directories(self.directory)
        return [json.loads((path / "trial.json").read_text()) for path in paths]

    def _all_ended(self) -> bool:
        total = yaml.safe_load(self._search_file.read_text())["tune"]["num_samples"]
        records = self._read_records()
        return len(records) == total and all(r["state"] in ENDED for r in records)

    def _read_state(self) -> str:
        path = self.directory / "sweep.json"
        return str(json.loads(path.read_text())["state"]) if path.exists() else "absent"

    def _count_workers_to_lose(self, plan: RunPlan | None = None) -> int:
        """Returns how many more workers each trial may lose besides those of the plan's faults."""
        losses: Counter[tuple[str, int]] = Counter()
        for record in self._read_records():
            if record["state"] not in ENDED:
                lost = [f for f in record["failures"] if f["cause"] == "lost_worker"]
                losses.update((record["id"], failure["epoch"]) for failure in lost)
        pending = [
            index
            for index, fault in enumerate(plan.faults if plan else [])
            if fault["role"] == "worker" and not self._token(index).exists()
        ]
        return max(0, MAX_LOSSES_PER_EPOCH - max(losses.values(), default=0) - len(pending))

    def _token(self, index: int) -> Path:
        """Returns the file that exists once this fault of the current plan has struck."""
        return self._plans.with_name(f"{self._plans.name}.{index}.fired")
