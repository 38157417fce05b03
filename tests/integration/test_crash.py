"""A sweep that is killed at any moment and resumed ends like an uninterrupted one.

All checks of `tests/crash` apply: right after each kill no file is broken and no trial has lost
more epochs than `save_frequency`; in the end trials, decisions, epochs, curves and weights equal
those of an uninterrupted sweep bit by bit.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from sweeps.execution.launch import start_sweep
from sweeps.execution.run_options import RunOptions
from sweeps.spec.load import load_search
from tests.crash.campaign import Campaign
from tests.crash.harness import write_search_file
from tests.crash.kills import RAY_PROCESSES, Kind, RunPlan, Step
from tests.crash.reading import SweepFiles, read_sweep

RUNS = [
    RunPlan(
        faults=[{"role": "worker", "operation": "replace", "count": 6, "moment": "before"}],
        steps=[Step("driver", "epochs", epochs=12, delay_s=0.1, second_s=0)],
    ),
    RunPlan(
        faults=[],
        steps=[
            Step("worker", "epochs", epochs=3, delay_s=0.1, second_s=0),
            Step("all", "epochs", epochs=0, delay_s=0.3, second_s=0),
        ],
    ),
    *(
        RunPlan(faults=[], steps=[Step(kind, "epochs", epochs=1, delay_s=0.1, second_s=0)])
        for kind in get_args(Kind)
        if kind in RAY_PROCESSES or kind in ("SIGHUP", "SIGTERM to the group")
    ),
]


@pytest.fixture
def uninterrupted(ray_session: None, tmp_path: Path) -> SweepFiles:
    place = tmp_path / "uninterrupted"
    place.mkdir()
    spec = load_search(write_search_file("short", place))
    return read_sweep(start_sweep(spec, RunOptions(allow_custom_model=True)).directory)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.ray
@pytest.mark.timeout(900)
def test_a_killed_sweep_ends_like_an_uninterrupted_one(
    tmp_path: Path, uninterrupted: SweepFiles
) -> None:
    campaign = Campaign(tmp_path, 1, print, {"short": uninterrupted})
    runs: Iterator[RunPlan | None] = iter([*RUNS, None])

    def draw(rng: random.Random, workers: int) -> RunPlan | None:
        return next(runs)

    campaign.crash("short", 0, draw)

    assert campaign.tally.differences == []
    kinds = ("fault in worker", "driver", "worker", "all", "gcs_server", "raylet")
    assert campaign.tally.kills == dict.fromkeys(kinds, 1)
    assert campaign.tally.pauses == {"SIGHUP": 1, "SIGTERM to the group": 1}
    assert campaign.tally.resumes == len(RUNS)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_200_random_kills_make_no_difference(tmp_path: Path) -> None:
    tally = Campaign(tmp_path, 1, print).run(200)

    assert tally.differences == []
    assert tally.killed >= 200
