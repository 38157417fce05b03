"""The crash harness detects every kind of harm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from tests.crash.checks import check_wreck, compare
from tests.crash.reading import SweepFiles, TrialFiles

CONFIG = {"optimizer": {"learning_rate": 0.1}}


def make_sweep() -> SweepFiles:
    trial = TrialFiles(
        values={"optimizer.learning_rate": 0.1},
        state="finished",
        rows=[{"epoch": 1, "val_acc": 0.5}, {"epoch": 2, "val_acc": 0.6}],
        curves={"acc/val": [(1, 0.5), (2, 0.6)]},
        raw_points=Counter({("acc/val", 1): 1, ("acc/val", 2): 1}),
        checkpoints={"latest.pt": {"epoch": 2, "model_state_dict": {"weight": torch.ones(3)}}},
        names={"metrics.jsonl", "checkpoints/latest.pt"},
        config=CONFIG,
    )
    return SweepFiles(
        sweep={"state": "finished", "trials": {"finished": 2}, "reason": None, "pid": None},
        trials={0: trial, 1: deepcopy(trial)},
        events=[("result", 0, 1), ("result", 1, 1), ("result", 0, 2), ("result", 1, 2)],
        table=[{"trial": "0", "val_acc": "0.6"}, {"trial": "1", "val_acc": "0.6"}],
        best_config=CONFIG,
    )


def change_one_bit(sweep: SweepFiles) -> None:
    weight = sweep.trials[1].checkpoints["latest.pt"]["model_state_dict"]["weight"]
    weight[2] = torch.nextafter(weight[2], torch.tensor(2.0))


def swap_events(sweep: SweepFiles) -> None:
    sweep.events[0], sweep.events[1] = sweep.events[1], sweep.events[0]


HARMS: dict[str, Callable[[SweepFiles], object]] = {
    "one bit of a weight": change_one_bit,
    "an epoch twice in the metrics": lambda s: s.trials[0].rows.append(s.trials[0].rows[-1]),
    "an epoch missing in the metrics": lambda s: s.trials[0].rows.pop(0),
    "another metric": lambda s: s.trials[0].rows[0].update(val_acc=0.51),
    "an epoch twice in the event files": lambda s: s.trials[0].raw_points.update(
        {("acc/val", 2): 1}
    ),
    "a point missing in the curves": lambda s: s.trials[1].curves["acc/val"].pop(),
    "a missing checkpoint": lambda s: s.trials[1].names.discard("checkpoints/latest.pt"),
    "another value": lambda s: s.trials[0].values.update({"optimizer.learning_rate": 0.2}),
    "another state of a trial": lambda s: setattr(s.trials[0], "state", "stopped"),
    "an additional trial": lambda s: s.trials.update({2: s.trials[0]}),
    "a missing trial": lambda s: s.trials.pop(1),
    "an unfinished sweep": lambda s: s.sweep.update(state="paused"),
    "a decision recorded twice": lambda s: s.events.append(s.events[-1]),
    "other events of a trial": lambda s: s.events.__setitem__(3, ("result", 1, 3)),
    "another order of events": swap_events,
    "another ranking": lambda s: s.table.reverse(),
    "another best config": lambda s: setattr(s, "best_config", {}),
    "litter": lambda s: s.litter.append("sweep/.trial.json.tmp"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_every_kind_of_harm_is_detected(harm: str) -> None:
    crashed = make_sweep()

    HARMS[harm](crashed)

    assert compare(crashed, make_sweep(), "all") != []


@pytest.mark.parametrize("order", ["all", "each trial's", "none"])
def test_without_harm_there_is_no_difference(order: str) -> None:
    assert compare(make_sweep(), make_sweep(), order) == []


def test_events_of_concurrent_trials_may_change_places() -> None:
    crashed = make_sweep()

    swap_events(crashed)

    assert compare(crashed, make_sweep(), "each trial's") == []


@pytest.fixture
def wreck(tmp_path: Path) -> Path:
    """A sweep with one trial: two epochs recorded, the first one saved."""
    trial = tmp_path / "sweep" / "trial"
    (trial / "checkpoints").mkdir(parents=True)
    (trial / "trial.json").write_text('{"state": "running"}')
    (trial / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    torch.save({"epoch": 1}, trial / "checkpoints" / "latest.pt")
    return tmp_path / "sweep"


def test_the_epochs_lost_by_a_kill_are_counted(wreck: Path) -> None:
    state = check_wreck(wreck, {})

    assert (state.lost, state.saved, state.differences) == ({"trial": 1}, {"trial": 1}, [])


def test_a_torn_checkpoint_is_detected(wreck: Path) -> None:
    path = wreck / "trial" / "checkpoints" / "latest.pt"
    path.write_bytes(path.read_bytes()[:-50])

    (text,) = check_wreck(wreck, {}).differences

    assert "latest.pt does not load" in text


def test_a_checkpoint_of_an_earlier_epoch_is_detected(wreck: Path) -> None:
    assert check_wreck(wreck, {"trial": 2}).differences == ["trial: latest.pt held epoch 2, now 1"]
