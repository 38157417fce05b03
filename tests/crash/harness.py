"""One sweep that is killed over and over, resumed each time, until it is through."""

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

from tests.crash.checks import look_at_wreck
from tests.crash.kills import EXIT_CODES, RunPlan, Step, damage, draw_run, strike
from tests.crash.reading import ENDED, trial_directories
from tests.crash.session import HERE, POLL_S, Session, resume_command, run_command

RUN_S = 600
"""A run of the command that takes longer than this hangs."""
PAUSE_S = 90
"""From a signal to the end of the driver."""
GONE_S = 60
"""From the end of a driver to that of its trials' workers."""
SAVE_FREQUENCY = 3
MOST_RUNS = 40
"""Runs of one sweep that are interrupted; the next one may go to its end."""
LOSSES_AT_ONE_EPOCH = 3
"""One more is held against the trial; it never comes to that."""

Log = Callable[[str], None]
Draw = Callable[[random.Random, int], RunPlan | None]
"""Draws what happens to a run, given how many workers it may lose; None: nothing any more."""


@dataclass
class Tally:
    """What a campaign came to."""

    kills: Counter[str] = field(default_factory=Counter)
    """SIGKILLs that hit, by kind."""
    faults: Counter[str] = field(default_factory=Counter)
    """Those that a process dealt itself, by role and operation."""
    pauses: Counter[str] = field(default_factory=Counter)
    damages: Counter[str] = field(default_factory=Counter)
    sweeps: Counter[str] = field(default_factory=Counter)
    resumes: int = 0
    at_once: int = 0
    """Resumes that came while processes of the killed run were still alive."""
    lost: list[int] = field(default_factory=list)
    """For each kill and each trial then unfinished, completed epochs that were not saved."""
    differences: list[str] = field(default_factory=list)

    @property
    def killed(self) -> int:
        """SIGKILLs in all."""
        return self.kills.total()


def search_file(variant: str) -> Path:
    """The search file of a variant."""
    return HERE / "sweeps" / f"{variant}.yaml"


def write_search_file(variant: str, place: Path) -> Path:
    """Writes the search file of a variant whose sweep lies in `place / "experiments"`."""
    data = yaml.safe_load(search_file(variant).read_text())
    base = yaml.safe_load((HERE / "sweeps" / data["config"]).read_text())
    base["checkpoint"]["dir"] = str(place / "experiments")
    path = place / f"{variant}.yaml"
    path.write_text(yaml.safe_dump({**data, "name": variant, "config": base}))
    return path


def never_interrupted(rng: random.Random, workers: int) -> RunPlan | None:
    """For an uninterrupted sweep."""
    del rng, workers


def drawn(rng: random.Random, workers: int) -> RunPlan | None:
    """Random interruptions of every kind."""
    return draw_run(rng, workers=workers)


class CrashedSweep:
    """One sweep, interrupted until it is through.

    Args:
        variant: Names its search file.
        place: An empty directory of its own.
        rng: Draws the interruptions.
        tally: Added to.
        log: Told what happens.
    """

    def __init__(
        self, variant: str, place: Path, rng: random.Random, tally: Tally, log: Log
    ) -> None:
        self._rng, self._tally, self._log = rng, tally, log
        self._place = place
        self.directory = place / "experiments" / variant
        self._search_file = write_search_file(variant, place)
        self._ray = Path("/tmp", f"crash{random.getrandbits(32):08x}")
        """Sockets lie below; their paths must be short."""
        self._sessions: list[Session] = []
        self._saved: dict[str, int] = {}
        self._lost: dict[str, int] = {}
        self._failed = False

    def until_finished(self, draw: Draw) -> bool:
        """Runs and resumes the sweep until it has finished; returns whether all went well."""
        try:
            through = False
            while not (through or self._failed):
                interrupted = len(self._sessions) < MOST_RUNS
                plan = draw(self._rng, self._workers_to_lose()) if interrupted else None
                through = self._run(plan or RunPlan([], []))
            return not self._failed
        finally:
            for session in self._sessions:
                session.kill_all()
            shutil.rmtree(self._ray, ignore_errors=True)

    def _run(self, plan: RunPlan) -> bool:
        """One run of the command; returns whether the sweep is through."""
        session = self._start(plan)
        self._log(f"  run {len(self._sessions)}: {plan}")
        steps = list(plan.steps)
        rows, deadline = self._rows(), session.started + RUN_S
        asked: Step | None = None
        while session.exit_code is None:
            self._count_faults(session)
            if time.monotonic() > deadline:
                self._fail(f"no end within {PAUSE_S if asked else RUN_S} s")
                return False
            if steps and asked is None and self._is_due(steps[0], session, rows):
                step = steps[0]
                if step.kind == "worker" and not self._workers_to_lose(plan):
                    steps.pop(0)
                elif strike(step, session, self._rng):  # else again at the next look
                    steps.pop(0)
                    if step.signal is None:
                        self._killed(step.kind, session)
                    else:
                        asked, deadline = step, time.monotonic() + PAUSE_S
                        self._tally.pauses[step.kind] += 1
                        self._log(f"    sent: {step.kind}")
                    rows = self._rows()
            time.sleep(POLL_S)
        self._count_faults(session)
        return self._ended(session, asked)

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
            self._tally.at_once += any(s.processes() for s in self._sessions)
        else:
            command = run_command(self._search_file)
        session = Session(command, self._place / f"output_{number}.txt", environment)
        self._sessions.append(session)
        return session

    def _is_due(self, step: Step, session: Session, rows: int) -> bool:
        """Whether a step's time has come; its delay is waited for here."""
        if step.trigger == "startup":
            return time.monotonic() - session.started >= step.delay_s
        if step.trigger == "epochs":
            # From the first worker on, so that a step of no epochs falls into its work.
            due = bool(session.workers()) and self._rows() >= rows + step.epochs
        else:
            due = self._all_ended()
        if due:
            session.wait(lambda: False, step.delay_s)
        return due

    def _count_faults(self, session: Session) -> None:
        """Looks for processes that have killed themselves."""
        for token in sorted(set(self._place.glob(f"{self._plans.name}.*.fired")) - self._struck):
            self._struck.add(token)
            index = int(token.name.split(".")[-2])
            fault = json.loads(self._plans.read_text())[index]
            self._log(f"    {fault['role']} struck at {token.read_text()}")
            self._tally.faults[f"{fault['role']}: {fault['operation']}"] += 1
            self._killed(f"fault in {fault['role']}", session)

    def _killed(self, kind: str, session: Session) -> None:
        """Counts a kill and looks at what it left."""
        self._tally.kills[kind] += 1
        lost = list(self._look(kind).values())
        self._tally.lost += lost
        alive = len(session.processes())
        self._log(f"    killed: {kind}; lost epochs {lost}; {alive} processes left")
        if max(lost, default=0) > SAVE_FREQUENCY:
            self._fail(f"after {kind}: lost epochs {lost}")

    def _paused(self, asked: Step | None) -> None:
        """After a run that ended by itself: nothing is lost, unless asked to end at once."""
        before = self._lost
        lost = self._look("a pause" if asked else "the end")
        more = {name: n for name, n in lost.items() if n > before.get(name, 0)}
        if more and asked is not None and not asked.kind.endswith("twice"):
            self._fail(f"{asked.kind} lost epochs {more}")

    def _look(self, what: str) -> dict[str, int]:
        """Looks at the sweep's files after an interruption; returns the epochs lost by trial."""
        wreck = look_at_wreck(self.directory, self._saved)
        self._saved |= wreck.saved
        self._lost = wreck.lost
        for difference in wreck.differences:
            self._fail(f"after {what}: {difference}")
        return wreck.lost

    def _ended(self, session: Session, asked: Step | None) -> bool:
        """Judges the end of a run and prepares the next; returns whether the sweep is through."""
        code = session.exit_code
        killed = code == -9
        state = self._state()
        self._log(f"    exit code {code}, sweep is {state}")
        if not killed:
            expected = [0] if asked is None else [0, *EXIT_CODES[str(asked.signal)]]
            if code not in expected or (code == 0 and state != "finished"):
                self._fail(f"exit code {code}, expected one of {expected}; sweep is {state}")
            self._paused(asked)
            if not session.gone(GONE_S):
                self._fail(f"workers {session.writers()} outlive the driver by {GONE_S} s")
            return code == 0
        if self._rng.random() < 0.3 and not session.gone(GONE_S):
            self._fail(f"workers {session.writers()} outlive the driver by {GONE_S} s")
        done = damage(self.directory, self._rng, torn=not session.writers())
        self._tally.damages.update(done)
        if done:
            self._log(f"    damaged: {', '.join(done)}")
        return False

    def _fail(self, text: str) -> None:
        self._failed = True
        text = f"{self.directory}, run {len(self._sessions)}: {text}"
        self._log(f"DIFFERENCE {text}")
        self._tally.differences.append(text)

    def _rows(self) -> int:
        """Epochs recorded so far."""
        files = [path / "metrics.jsonl" for path in trial_directories(self.directory)]
        return sum(path.read_bytes().count(b"\n") for path in files if path.exists())

    def _records(self) -> list[dict]:
        paths = trial_directories(self.directory)
        return [json.loads((path / "trial.json").read_text()) for path in paths]

    def _all_ended(self) -> bool:
        total = yaml.safe_load(self._search_file.read_text())["tune"]["num_samples"]
        records = self._records()
        return len(records) == total and all(r["state"] in ENDED for r in records)

    def _state(self) -> str:
        path = self.directory / "sweep.json"
        return str(json.loads(path.read_text())["state"]) if path.exists() else "absent"

    def _workers_to_lose(self, plan: RunPlan | None = None) -> int:
        """How many more workers any trial can lose, besides those that the plan's faults take."""
        losses: Counter[tuple[str, int]] = Counter()
        for record in self._records():
            if record["state"] not in ENDED:
                lost = [f for f in record["failures"] if f["cause"] == "lost_worker"]
                losses.update((record["id"], failure["epoch"]) for failure in lost)
        to_come = [
            index
            for index, fault in enumerate(plan.faults if plan else [])
            if fault["role"] == "worker" and not self._token(index).exists()
        ]
        return max(0, LOSSES_AT_ONE_EPOCH - max(losses.values(), default=0) - len(to_come))

    def _token(self, index: int) -> Path:
        """Exists if the fault of this number in the present plan has struck."""
        return self._plans.with_name(f"{self._plans.name}.{index}.fired")
