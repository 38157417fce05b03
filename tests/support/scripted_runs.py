"""The session of a tracker whose client is a script."""

from sweeps.trackers.update import SweepInfo
from sweeps.trackers.worker import Session

SWEEP = SweepInfo("ab12", "mine", "/exp/mine", "/exp/mine", "val_acc", "max", {}, {}).to_dict()


class ScriptedRuns:
    """Keeps the epochs that it gets; fails as long as `fault` is set."""

    def __init__(self):
        self.epochs = []
        self.fault = None

    def open(self):
        return False

    def update(self, trial):
        if self.fault is not None:
            raise self.fault
        self.epochs.append([row["epoch"] for row in trial.rows])

    def close(self, state):
        self.closed = state


def open_session():
    """Returns (session, runs) of a sweep that was opened."""
    runs = ScriptedRuns()
    session = Session("scripted", lambda tracker, sweep: runs)
    assert session.answer({"open": SWEEP}) == {"is_known": False}
    return session, runs
