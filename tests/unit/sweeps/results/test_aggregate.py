"""Repeats, final trials, the Pareto front and the time left in `best`, `status` and the report."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

from sweeps.report.page import write_report
from sweeps.storage.lock import sweep_lock
from tests.support.fake_sweeps import FakeSweep, as_json, sweep, trial

FINISHED: dict[str, Any] = {"states": dict.fromkeys(range(20), "finished")}
REPEATED: dict[str, Any] = {"tune": {"repeats": 3, "num_samples": 4}, **FINISHED}
FINAL: dict[str, Any] = {
    "trials": 10,
    "tune": {"num_samples": 6, "final": {"top": 2, "repeats": 2}},
    "finals": {6: 1, 7: 1, 8: 4, 9: 4},
    **FINISHED,
}
FAST_OR_GOOD: dict[str, Any] = {
    "tune": {"pareto": {"epoch_s": "min"}},
    "epoch_s": {number: 1.0 + number % 5 for number in range(12)},
    **FINISHED,
}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    return lambda **options: FakeSweep(tmp_path / "digits", **options).write()


def scores(directory: Path, *numbers: int) -> list[float]:
    """Returns the best val_acc of these trials from their files."""
    best = []
    for number in numbers:
        lines = (trial(directory, number) / "metrics.jsonl").read_text().splitlines()
        best.append(max(json.loads(line)["val_acc"] for line in lines))
    return best


def section(directory: Path, title: str) -> str:
    """Returns the text of a section of the report without tags and plots."""
    page = write_report(directory).read_text()
    match = re.search(rf"<h2>{title}</h2>(.*?)</section>", page, re.DOTALL)
    assert match is not None, title
    text = re.sub(r"<script.*?</script>", "", match[1], flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


# ------------------------------------------------------------------------ repeats and finals


def test_the_best_of_repeats_is_shown_with_mean_and_spread(make: Callable[..., Path]) -> None:
    directory = make(**REPEATED)
    by_configuration = [
        scores(directory, *range(3 * number, 3 * number + 3)) for number in range(4)
    ]
    best = max(range(4), key=lambda number: fmean(by_configuration[number]))
    copies = as_json("best", directory)["copies"]
    assert copies == {
        "configuration": best,
        "mean": pytest.approx(fmean(by_configuration[best])),
        "sd": pytest.approx(stdev(by_configuration[best])),
        "trials": 3,
        "final": False,
    }
    line = (
        f"its configuration {best}: mean val_acc {fmean(by_configuration[best]):.4f}, "
        f"sd {stdev(by_configuration[best]):.4f} of 3 trials"
    )
    assert line in sweep("best", directory).stdout.splitlines()
    assert line in sweep("status", directory).stdout.splitlines()
    assert as_json("status", directory)["best"]["copies"] == copies


def test_configurations_with_final_trials_are_ranked_by_these_alone(
    make: Callable[..., Path],
) -> None:
    directory = make(**FINAL)
    means = {1: fmean(scores(directory, 6, 7)), 4: fmean(scores(directory, 8, 9))}
    best = max(means, key=lambda number: means[number])
    copies = as_json("best", directory)["copies"]
    assert (copies["configuration"], copies["trials"], copies["final"]) == (best, 2, True)
    assert copies["mean"] == pytest.approx(means[best])
    assert "of 2 final trials" in sweep("best", directory).stdout


def test_a_final_trial_without_an_epoch_does_not_hide_its_configuration(
    make: Callable[..., Path],
) -> None:
    states = {**FINISHED["states"], **dict.fromkeys(range(6, 10), "pending")}
    directory = make(**{**FINAL, "states": states})
    best = as_json("best", directory)
    number = int(best["trial"][:4])
    assert (best["copies"]["configuration"], best["copies"]["final"]) == (number, False)
    assert (best["copies"]["trials"], best["copies"]["sd"]) == (1, None)
    assert "of 1 trial\n" in sweep("best", directory).stdout


@pytest.mark.slow
def test_without_repeats_configurations_are_not_shown(
    make: Callable[..., Path],
) -> None:
    directory = make()
    assert "copies" not in as_json("best", directory)
    assert (
        "configuration" not in sweep("best", directory).stdout + sweep("status", directory).stdout
    )
    assert "<h2>Repeats and finals</h2>" not in write_report(directory).read_text()


def test_the_total_includes_repeats_and_final_trials_that_do_not_exist_yet(
    make: Callable[..., Path],
) -> None:
    tune = {"repeats": 2, "num_samples": 8, "final": {"top": 3, "repeats": 5}}
    assert as_json("status", make(trials=4, state="paused", tune=tune))["total"] == 8 * 2 + 3 * 5


def test_the_report_lists_configurations_best_first(make: Callable[..., Path]) -> None:
    directory = make(**REPEATED)
    copies = as_json("best", directory)["copies"]
    assert f"mean val_acc of its configuration {copies['mean']:.4f}, sd" in section(
        directory, "Best config"
    )
    listed = section(directory, "Repeats and finals")
    rows = re.findall(r" (\d\.\d{4}) (\d\.\d{4}) (\d\.\d{4}) to (\d\.\d{4}) 3 ", listed)
    means = [float(mean) for mean, *_ in rows]
    assert all(low <= mean <= high for mean, _, low, high in rows)
    assert len(means) == 4
    assert means == sorted(means, reverse=True)
    assert means[0] == pytest.approx(copies["mean"], abs=1e-4)


# ------------------------------------------------------------------------ Pareto front


def test_the_front_is_listed_and_drawn(make: Callable[..., Path]) -> None:
    directory = make(**FAST_OR_GOOD)
    points = {number: (scores(directory, number)[0], 1.0 + number % 5) for number in range(12)}
    front = {
        f"{number:04d}aaaa"
        for number, (acc, time) in points.items()
        if not any(a >= acc and t <= time and (a, t) != (acc, time) for a, t in points.values())
    }
    assert 1 < len(front) < 12
    for verb in ("best", "status"):
        listed = as_json(verb, directory)["pareto"]
        assert {entry["trial"] for entry in listed} == front
        assert all(entry["epoch_s"] == 1 + int(entry["trial"][:4]) % 5 for entry in listed)
        text = sweep(verb, directory).stdout
        assert "Pareto front" in text
        assert front <= set(text.split())
    shown = section(directory, "Pareto front")
    assert front <= set(shown.split())
    page = write_report(directory).read_text()
    (content,) = re.findall(r"<h2>Pareto front</h2>(.*?)</section>", page, re.DOTALL)
    assert 'data-chart="pareto-front"' in content


def test_a_trial_without_one_of_the_metrics_is_not_on_the_front(make: Callable[..., Path]) -> None:
    """Memory is not measured on the CPU."""
    tune = {"pareto": {"peak_memory_gib": "min"}}
    directory = make(**{**FAST_OR_GOOD, "tune": tune})
    assert as_json("best", directory)["pareto"] == []
    assert "Pareto" not in sweep("best", directory).stdout
    assert "No trial has all of these metrics" in section(directory, "Pareto front")


@pytest.mark.slow
def test_a_sweep_with_one_metric_has_no_front(make: Callable[..., Path]) -> None:
    directory = make()
    assert as_json("best", directory)["pareto"] == []
    assert "<h2>Pareto front</h2>" not in write_report(directory).read_text()


# ------------------------------------------------------------------------ time left


def test_the_status_of_a_running_sweep_shows_the_time_left(
    make: Callable[..., Path],
) -> None:
    """Two of four trials have ended, one early; two are at epoch 5 of 9; an epoch takes 2 s."""
    states = {0: "finished", 1: "stopped", 2: "running", 3: "running"}
    directory = make(trials=4, state="running", states=states)
    with sweep_lock(directory):
        values = as_json("status", directory)
        text = sweep("status", directory).stdout
    share = fmean([9 / 9, 3 / 9])
    assert values["left_s"] == pytest.approx([2 * (9 * share - 5) * 2 / 2, 2 * (9 - 5) * 2 / 2])
    assert values["saved_epochs"] == 6
    assert ", 2 s to 8 s left; 22 epochs trained, 6 saved by early stopping" in text


def test_the_time_left_depends_on_the_limit_of_concurrent_trials(
    make: Callable[..., Path],
) -> None:
    states = {0: "finished", 1: "running", 2: "pending", 3: "pending"}
    tune = {"max_concurrent_trials": 3}
    directory = make(trials=4, state="running", states=states, tune=tune)
    with sweep_lock(directory):
        (least, most) = as_json("status", directory)["left_s"]
    assert least == most == pytest.approx((4 + 9 + 9) * 2 / 3)


def test_a_sweep_that_is_not_running_has_no_time_left(make: Callable[..., Path]) -> None:
    directory = make(state="paused", states={11: "paused"})
    assert as_json("status", directory)["left_s"] is None
    assert " left;" not in sweep("status", directory).stdout
