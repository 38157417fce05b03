"""Reports a sweep directory to trackers without a sweep, and reads Optuna's journal back."""

import contextlib
import json
import time

import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage

from sweeps.results.stored_spec import read_search
from sweeps.spec.log_to import LogTo
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.trackers.reporter import Limits
from sweeps.trackers.reporting import Trackers
from tests.support.fake_sweeps import FakeSweep, trial
from trainable.artifacts.metrics import read_rows

LIMITS = Limits(first_delay_s=0.05, max_delay_s=0.1, close_s=60.0)
DEADLINE_S = 120


def write_sweep(directory):
    """Writes a sweep of which two trials run and one waits."""
    states = {0: "running", 1: "running", 2: "pending"}
    return FakeSweep(directory, trials=4, epochs=6, state="running", states=states).write()


class Reporting:
    """The trackers of a sweep directory, and the lines that they print."""

    def __init__(self, directory, limits=LIMITS, **log_to):
        self.directory, self.lines = directory, []
        spec, _ = read_search(directory)
        settings = LogTo.model_validate(log_to or {"optuna": "study.log"})
        self.spec = spec.model_copy(update={"log_to": settings})
        self.trackers = Trackers(directory, self.lines.append, limits)

    def start(self):
        self.trackers.configure(self.spec)
        return self

    def finish(self, state="paused"):
        self.trackers.close(state)
        return self.lines


def wait_for(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def journal_epochs(directory, name="study.log"):
    """Returns trial id -> the epochs of its last trial in a sweep's journal."""
    trials = read_journal(directory / name)
    return {t.user_attrs["trial"]: sorted(t.intermediate_values) for t in trials}


def recorded_epochs(directory):
    """Returns trial id -> the epochs in `metrics.jsonl`, for trials that have started."""
    rows = {
        record.id: read_rows(directory / record.directory / "metrics.jsonl")
        for record in SweepLayout(directory).read_trials()
        if record.started is not None
    }
    return {trial_id: [row["epoch"] for row in rows] for trial_id, rows in rows.items()}


def add_epoch(directory, number, epoch):
    """Appends an epoch to a trial's metrics."""
    with (trial(directory, number) / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"epoch": epoch, "val_acc": 0.5}) + "\n")


def read_journal(path):
    """Returns the trials of the only study in a journal."""
    storage = JournalStorage(JournalFileBackend(str(path)))
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage).trials


def journal_epochs_if_any(directory):
    """Returns the same, also while the journal is being created."""
    with contextlib.suppress(ValueError, OSError):
        return journal_epochs(directory)
    return {}
