"""Trials as they are read from their files, and their ranking."""

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.results.aggregate import pareto_front
from sweeps.results.loaded_sweep import best_checkpoint_epoch
from sweeps.results.trial_results import best_row, read_results, read_scores
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import TrialRecord, TrialState
from trainable.artifacts.metrics import MetricsFile

NAN, INF = math.nan, math.inf


def rows(*scores: float | None, metric: str = "val_acc") -> list[dict[str, Any]]:
    return [{"epoch": epoch, metric: score} for epoch, score in enumerate(scores, 1)]


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[..., Path]:
    """Writes one trial per curve, with one epoch per score."""

    def write(*curves: Iterable[float | None], state: TrialState = "finished") -> Path:
        for number, curve in enumerate(curves):
            record = TrialRecord(str(number), number, f"trial_{number}", {}, state=state)
            SweepLayout(tmp_path).write_trial(record)
            for row in rows(*curve):
                MetricsFile(tmp_path / record.directory / "metrics.jsonl").append(row)
        return tmp_path

    return write


def order(directory: Path, mode: str = "max") -> list[int]:
    return [result.record.number for result in read_results(directory, "val_acc", mode)]


def test_trials_are_ranked_by_their_best_epoch_not_their_last(
    sweep: Callable[..., Path],
) -> None:
    directory = sweep([0.9, 0.1], [0.5, 0.6], [0.7, 0.8, 0.2])
    assert order(directory) == [0, 2, 1]
    first = read_results(directory, "val_acc", "max")[0]
    assert first.best == {"epoch": 1, "val_acc": 0.9}
    assert first.last == {"epoch": 2, "val_acc": 0.1}


def test_with_mode_min_the_lowest_score_is_best(sweep: Callable[..., Path]) -> None:
    directory = sweep([0.9, 0.1], [0.5, 0.6], [0.7, 0.8, 0.2])
    assert order(directory, "min") == [0, 2, 1]
    assert read_results(directory, "val_acc", "min")[1].best == {"epoch": 3, "val_acc": 0.2}


def test_the_earlier_of_equal_trials_comes_first(sweep: Callable[..., Path]) -> None:
    directory = sweep([0.5], [0.7, 0.7], [0.1, 0.7], [0.7])
    assert order(directory) == [1, 2, 3, 0]
    assert order(directory, "min") == [2, 0, 1, 3]


def test_a_score_that_is_not_finite_is_never_the_best(sweep: Callable[..., Path]) -> None:
    directory = sweep([NAN], [0.1], [INF, 0.3], [None, 0.2], [-INF, NAN])
    assert order(directory) == [2, 3, 1, 0, 4]
    assert order(directory, "min") == [1, 3, 2, 0, 4]
    assert read_results(directory, "val_acc", "max")[-1].best is None


@pytest.mark.parametrize("loss", ["train_loss", "val_loss"])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_an_epoch_with_a_loss_that_is_not_finite_is_never_the_best(
    loss: str, value: float
) -> None:
    good, diverged = rows(0.5, 0.9)
    diverged[loss] = value
    for metric in ("val_acc", "best_acc"):
        curve = [{**row, "best_acc": row["val_acc"]} for row in (good, diverged)]
        best = best_row(curve, metric, "max")
        assert best is not None
        assert best["epoch"] == 1
    assert best_row([diverged], "val_acc", "max") is None


def test_the_best_epoch_that_a_resumed_trial_inherits_is_its_best_until_it_is_beaten(
    sweep: Callable[..., Path], tmp_path: Path
) -> None:
    """`best.pt` and `best_acc` are of that epoch. A searcher compares the trials' own epochs."""
    inherited = {"epoch": 3, "val_acc": 0.85, "best_acc": 0.85}
    curves = {0: [0.7, 0.6], 1: [0.8, 0.7], 2: [0.8, 0.9]}
    sweep(*([] for _ in curves))
    for number, curve in curves.items():
        for epoch, acc in enumerate(curve, 6):
            best = max((0.85, 3), *((a, e) for e, a in enumerate(curve, 6) if e <= epoch))
            row = {"epoch": epoch, "val_acc": acc, "best_acc": best[0], "best_epoch": best[1]}
            MetricsFile(tmp_path / f"trial_{number}" / "metrics.jsonl").append(row)
    results = read_results(tmp_path, "val_acc", "max")
    assert [result.record.number for result in results] == [2, 1, 0]
    assert [result.best for result in results[1:]] == [inherited, inherited]
    assert results[0].best == results[0].last
    assert [read_scores(result, ["val_acc"]) for result in results] == [[0.9], [0.8], [0.7]]
    front = pareto_front(results, {"val_acc": "max", "epoch": "min"})
    assert [result.record.number for result in front] == [2, 1]  # by their own epochs
    by_best_acc = read_results(tmp_path, "best_acc", "max")
    assert [result.best for result in by_best_acc[1:]] == [inherited, inherited]


def test_a_trial_without_one_of_the_metrics_has_no_scores(sweep: Callable[..., Path]) -> None:
    (result,) = read_results(sweep([0.5]), "val_acc", "max")
    assert read_scores(result, ["val_acc", "peak_memory_gib"]) is None
    assert read_scores(result, ["val_acc", "epoch"]) == [0.5, 1.0]


def test_a_failed_trial_is_ranked_by_its_best_epoch(
    sweep: Callable[..., Path], tmp_path: Path
) -> None:
    """Its `best.pt` can still be used. A trial without an epoch comes last."""
    sweep([0.5], [0.9, NAN], [], state="failed")
    assert order(tmp_path) == [1, 0, 2]
    last = read_results(tmp_path, "val_acc", "max")[-1]
    assert (last.rows, last.best, last.last) == ([], None, None)


def test_trials_without_the_metric_are_in_order_of_creation(sweep: Callable[..., Path]) -> None:
    sweep([0.5], [0.9])
    results = read_results(sweep(), "val_loss", "min")
    assert [(result.record.number, result.best) for result in results] == [(0, None), (1, None)]


def test_an_incomplete_line_is_not_an_epoch(sweep: Callable[..., Path]) -> None:
    directory = sweep([0.5, 0.6])
    with (directory / "trial_0" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "val_acc": 0.9')
    (result,) = read_results(directory, "val_acc", "max")
    assert result.last == {"epoch": 2, "val_acc": 0.6}


def test_the_checkpoint_is_best_pt_else_latest_pt_else_none(sweep: Callable[..., Path]) -> None:
    directory = sweep([0.5])
    checkpoints = directory / "trial_0" / "checkpoints"
    checkpoints.mkdir()
    (result,) = read_results(directory, "val_acc", "max")
    assert result.checkpoint is None
    (checkpoints / "latest.pt").touch()
    assert result.checkpoint == checkpoints / "latest.pt"
    (checkpoints / "best.pt").touch()
    assert result.checkpoint == checkpoints / "best.pt"


def test_a_directory_without_a_record_is_not_a_trial(sweep: Callable[..., Path]) -> None:
    directory = sweep([0.5])
    (directory / "notes").mkdir()
    assert order(directory) == [0]


def test_a_broken_record_is_refused(sweep: Callable[..., Path]) -> None:
    directory = sweep([0.5])
    (directory / "trial_0" / "trial.json").write_text(json.dumps({"id": "0"}))
    with pytest.raises(SweepError, match=r"trial_0/trial\.json: not a record"):
        read_results(directory, "val_acc", "max")


SCORES = st.lists(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)), max_size=8)


@given(SCORES)
def test_the_best_row_is_the_first_highest_finite_score_and_symmetric_for_min(
    scores: list[float | None],
) -> None:
    best = best_row(rows(*scores), "val_acc", "max")
    finite = [score for score in scores if score is not None and math.isfinite(score)]
    if not finite:
        assert best is None
        return
    assert best is not None
    assert best["val_acc"] == max(finite)
    assert best["epoch"] == scores.index(max(finite)) + 1
    mirrored = [None if score is None else -score for score in scores]
    lowest = best_row(rows(*mirrored), "val_acc", "min")
    assert lowest is not None
    assert lowest["epoch"] == best["epoch"]


def test_a_trial_inherits_the_best_epoch_by_what_its_training_monitors(tmp_path: Path) -> None:
    SweepLayout(tmp_path).write_trial(TrialRecord("a", 0, "trial_0", {}, state="finished"))
    row = {"epoch": 6, "val_acc": 0.9, "val_f1_macro": 0.4, "best_acc": 0.9}
    row |= {"best_f1_macro": 0.5, "best_epoch": 3}
    MetricsFile(tmp_path / "trial_0" / "metrics.jsonl").append(row)
    (by_f1,) = read_results(tmp_path, "val_f1_macro", "max")
    assert by_f1.best == {"epoch": 3, "val_f1_macro": 0.5, "best_f1_macro": 0.5}
    (by_acc,) = read_results(tmp_path, "val_acc", "max")
    assert by_acc.best == row  # the epoch of the best accuracy before it is not known
    assert best_checkpoint_epoch(by_acc) == best_checkpoint_epoch(by_f1) == 3
