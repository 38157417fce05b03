"""A whole sweep from Python: built, run, read, used, resumed, extended, retried."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from sweeps import Search, Sweep, Trial, choice, load_sweep, run_sweep
from tests.integration.commands import invoke
from tests.integration.sweeping import CONFIG, ONE_AT_A_TIME
from trainable.artifacts.metrics import read_rows
from trainable.config import load_config

# tests/unit/sweeps/api has the same with a driver that starts no Ray.
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.long]

LEARNING_RATES = [0.1, 0.01, 1e30]
"""The last one diverges."""


def csv_rows(directory: Path) -> list[dict[str, str]]:
    with (directory / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def as_json(rows: list[dict[str, Any]]) -> str:
    return json.dumps(rows, sort_keys=True)  # NaN does not equal itself


def epochs_on_disk(sweep: Sweep) -> dict[str, int]:
    return {trial.id: len(read_rows(trial.directory / "metrics.jsonl")) for trial in sweep}


def new_search(directory: Path) -> Search:
    return Search(
        name="sweep",
        config={**CONFIG, "checkpoint": {"enabled": True, "dir": str(directory)}},
        space={"optimizer.learning_rate": choice(LEARNING_RATES)},
        tune={
            "num_samples": 9,
            "seed": 1,
            "points_to_evaluate": [{"optimizer.learning_rate": value} for value in LEARNING_RATES],
        },
        resources=ONE_AT_A_TIME,
        keep={"min_free_gib": 0},
    )


def test_a_sweep_from_python_is_the_one_on_disk(tmp_path: Path, ray_session: None) -> None:
    epochs: dict[str, list[tuple[dict[str, Any], float | None]]] = {}
    ended: dict[str, str] = {}

    def on_epoch(trial: Trial, row: dict[str, Any]) -> None:
        epochs.setdefault(trial.id, []).append((row, trial.score))
        raise ValueError("a mistake in a callback")

    sweep = run_sweep(
        new_search(tmp_path),
        set={"tune.num_samples": 3, "config.training.epochs": 2},
        on_epoch=on_epoch,
        on_trial_end=lambda trial: ended.update({trial.id: trial.state}),
        allow_custom_model=True,
    )
    check_files(sweep, trials=3)
    assert sorted(ended.values()) == ["failed", "finished", "finished"]
    assert ended == {trial.id: trial.state for trial in sweep}
    finished = [trial.id for trial in sweep if trial.state == "finished"]
    for trial in sweep:
        rows = read_rows(trial.directory / "metrics.jsonl")
        assert as_json(rows) == as_json([row for row, _ in epochs[trial.id]])
        assert trial.score == epochs[trial.id][-1][1]
    use_the_best(sweep, tmp_path)

    more = sweep.resume(num_samples=4, allow_custom_model=True)
    check_files(more, trials=4)
    assert len(list(sweep)) == 3, "the object has changed"

    best = more.best
    extended = more.extend(top=1, epochs=3, allow_custom_model=True)
    assert epochs_on_disk(extended)[best.id] == 3
    assert extended.trial(best.id).config.training.epochs == 3
    others = [trial for trial in finished if trial != best.id]
    assert [epochs_on_disk(extended)[trial] for trial in others] == [2] * len(others)

    (failed,) = [t for t in extended if t.state == "failed" and t.number < 3]
    retried = extended.retry(cause="nan", allow_custom_model=True)
    record = json.loads((failed.directory / "trial.json").read_text())
    assert [failure["cause"] for failure in record["failures"]] == ["nan", "nan"]
    assert retried.trial(failed.id).failure == extended.trial(failed.id).failure
    assert retried.retry(cause="oom").state == "finished", "there is nothing to retry"


def check_files(sweep: Sweep, trials: int) -> None:
    """Compares what the objects say with the files."""
    rows = csv_rows(sweep.directory)
    assert [trial.id for trial in sweep] == [row["trial"] for row in rows]
    assert len(rows) == trials == len(sweep.trials)
    best, row = sweep.best, rows[0]
    assert (best.id, best.score, best.epoch) == (
        row["trial"],
        float(row["val_acc"]),
        int(row["best_epoch"]),
    )
    assert best.values == {"optimizer.learning_rate": float(row["optimizer.learning_rate"])}
    assert best.config == load_config(sweep.directory / "best_config.yaml")
    assert best.checkpoint == sweep.directory / row["checkpoint"]
    assert repr(load_sweep(sweep.directory)) == repr(sweep)
    assert invoke("best", sweep.directory, "--json").stdout.count(best.id) > 0


def use_the_best(sweep: Sweep, tmp_path: Path) -> None:
    """Compares model, scores and predictions with those of the commands."""
    best = sweep.best
    saved = torch.load(best.checkpoint, weights_only=True)
    model = sweep.model(allow_custom_model=True)
    assert all(torch.equal(saved["model_state_dict"][k], v) for k, v in model.state_dict().items())
    scores = sweep.evaluate(metrics=["f1_macro"], allow_custom_model=True)
    options = ("--metrics", "f1_macro", "--json", "--allow-custom-model")
    assert scores == json.loads(invoke("eval", best.checkpoint, *options).stdout)
    image = tmp_path / "image.png"
    Image.new("L", (8, 8), 99).save(image)
    row = sweep.predict(image, allow_custom_model=True).iloc[0]
    printed = invoke("predict", best.checkpoint, image, "--allow-custom-model").stdout
    assert printed.splitlines()[1] == f"{image},{row['class']},{row['probability']:.6f},"
