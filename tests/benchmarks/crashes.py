"""R1: epochs that a kill -9 makes a sweep train again. The kills are those of `tests/crash`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import fmean

from tests.benchmarks.sides import Figure
from tests.crash.campaign import Campaign
from tests.crash.harness import SAVE_FREQUENCY

KILLS, SEED = 8, 1


def r1() -> Figure:
    """Completed epochs that no checkpoint held, of each unfinished trial at each kill."""
    log: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        tally = Campaign(Path(temporary), SEED, log.append).run(KILLS, ["fifo"])
    if tally.differences:
        raise RuntimeError("a crashed sweep differs:\n" + "\n".join(tally.differences))
    lost = tally.lost or [0]
    what = f"epochs lost a trial and kill, the most of {tally.killed} kills; ours: the mean"
    return Figure(
        "R1",
        f"{what}, other: save_frequency",
        float(max(lost)),
        float(min(lost)),
        float(max(lost)),
        float(SAVE_FREQUENCY),
        fmean(lost),
        "epochs",
        f"<= {SAVE_FREQUENCY}",
    )
