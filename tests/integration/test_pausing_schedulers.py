"""HyperBand, whose trials wait for one another: paused and resumed, the sweep ends the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.layout import SweepLayout
from tests.integration.sweeping import (
    ONE_AT_A_TIME,
    epochs,
    events,
    pause_after,
    resume,
    search,
    start,
    trials,
)
from trainable.artifacts.checkpoint import read_checkpoint

pytestmark = pytest.mark.ray


def halving(directory: Path) -> SearchSpec:
    """Builds a search: two trials of four epochs; four of one, the best of which gets four."""
    directory.mkdir()
    return search(
        directory,
        space={"optimizer.learning_rate": {"loguniform": [1e-3, 1.0]}},
        tune={"num_samples": 6, "scheduler": {"name": "hyperband", "reduction_factor": 4}},
        config={"checkpoint": {"save_frequency": 4, "save_best": False}},
        resources=ONE_AT_A_TIME,
    )


def decisions(directory: Path) -> list[tuple[int, int, str]]:
    numbers = {record.id: record.number for record in trials(directory)}
    results = [e for e in events(directory) if e["kind"] == "result"]
    return sorted((numbers[e["trial"]], e["epoch"], e["decision"]) for e in results)


@pytest.fixture(scope="module")
def whole(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start(halving(tmp_path_factory.mktemp("hyperband") / "whole")).directory


@pytest.mark.slow
def test_a_paused_hyperband_sweep_ends_like_an_uninterrupted_one(
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    assert_same: Callable[[Any, Any], None],
) -> None:
    with monkeypatch.context() as patch:
        pause_after(patch, 7, "stop")
        cut = start(halving(tmp_path / "cut")).directory
    before = decisions(cut)
    assert "PAUSE" in {decision for *_, decision in before}, "no trial was paused"
    assert [] in epochs(cut).values(), "every trial has started"
    assert SweepLayout(cut).read_sweep().rungs == "shares"
    assert resume(cut).paused is None
    assert "decides differently" not in capsys.readouterr().out

    assert decisions(cut) == decisions(whole)
    assert epochs(cut) == epochs(whole)
    assert sorted(map(len, epochs(cut).values())) == [1, 1, 1, 4, 4, 4]
    assert [r.state for r in trials(cut)] == [r.state for r in trials(whole)]
    for resumed, other in zip(trials(cut), trials(whole), strict=True):
        states = [
            read_checkpoint(directory / record.directory / "checkpoints" / "latest.pt")
            for directory, record in ((cut, resumed), (whole, other))
        ]
        for key in ("epoch", "best_acc", "model_state_dict", "optimizer_state_dict"):
            assert_same(states[0][key], states[1][key])
