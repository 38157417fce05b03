"""Sweeps that version 0.1.0 at commit 9061102 left on disk, under the code of today.

`tests/golden/finished` ran to its end. `paused` is the same sweep under the same seed, paused
after the first epoch of its second trial. Three epochs of a linear model; the paths in their files
begin with `/golden`, and the files that only Tune reads are not kept. Another model of CPU rounds
otherwise in the last digits; that a resume is equal to the bit is tested with sweeps of today.
"""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from sweeps import load_sweep
from sweeps.execution.resume import open_for_resume
from sweeps.execution.run_options import RunOptions
from sweeps.execution.tune_run import TuneRun
from sweeps.sweep_dir.layout import SweepLayout
from tests.integration.commands import invoke

pytestmark = pytest.mark.ray

GOLDEN = Path(__file__).parents[1] / "golden"
COMPARED = (
    *("epoch", "train_loss", "train_acc", "val_loss", "val_acc", "test_loss", "test_acc"),
    *("best_acc", "lr"),
)
"""Values of an epoch that do not depend on the time that it takes."""


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """The directory with copies of the sweeps, as if they had been made there."""
    for name in ("finished", "paused"):
        shutil.copytree(GOLDEN / name, tmp_path / "sweeps" / name)
    for path in tmp_path.rglob("*.yaml"):
        path.write_text(path.read_text().replace("/golden", str(tmp_path)))
    return tmp_path / "sweeps"


def curves(directory: Path) -> dict[int, list[dict[str, Any]]]:
    """Returns number of a trial -> its epochs."""
    rows_by_number = {}
    for path in directory.glob("*/trial.json"):
        lines = (path.parent / "metrics.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        rows_by_number[json.loads(path.read_text())["number"]] = [
            {key: row[key] for key in COMPARED} for row in rows
        ]
    return rows_by_number


def table(directory: Path) -> list[tuple[str, ...]]:
    """Returns the rows of `trials.csv` by number, without the columns that name directories."""
    with (directory / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    kept = ("number", "state", "val_acc", "best_epoch", "epochs", "optimizer.learning_rate")
    return sorted(tuple(row[key] for key in kept) for row in rows)


def weights(directory: Path, number: int, name: str) -> dict[str, torch.Tensor]:
    """Returns the model's weights in a checkpoint of a trial."""
    for path in directory.glob("*/trial.json"):
        if json.loads(path.read_text())["number"] == number:
            state = torch.load(path.parent / "checkpoints" / name, weights_only=True)
            model: dict[str, torch.Tensor] = state["model_state_dict"]
            return model
    raise AssertionError(f"no trial {number}")


def test_a_paused_sweep_of_an_earlier_version_ends_like_its_uninterrupted_twin(
    golden: Path,
) -> None:
    paused, finished = golden / "paused", golden / "finished"
    done = invoke("resume", paused, "--allow-custom-model")
    assert (done.exit_code, done.stderr) == (0, ""), done.stdout
    assert table(paused) == table(finished)
    resumed_curves, whole_curves = curves(paused), curves(finished)
    assert resumed_curves.keys() == whole_curves.keys()
    for number, rows in whole_curves.items():
        torch.testing.assert_close(resumed_curves[number], rows)
        for name in ("best.pt", "latest.pt"):
            resumed, whole = (weights(sweep, number, name) for sweep in (paused, finished))
            torch.testing.assert_close(resumed, whole)


def test_a_finished_sweep_of_an_earlier_version_is_read_and_reported(golden: Path) -> None:
    finished = golden / "finished"
    status = json.loads(invoke("status", finished, "--json").stdout)
    assert status["state"] == "finished"
    sweep = load_sweep(finished)
    best = sweep.best
    assert (best.number, best.epoch, best.score) == (1, 2, 0.6875)
    assert len(sweep.curves) == 3 + 3 + 1
    printed = invoke("best", finished)
    assert best.id in printed.stdout
    assert invoke("report", finished).exit_code == 0
    assert best.id in (finished / "report.html").read_text()


def test_a_sweep_whose_ray_has_died_after_its_last_trial_is_paused_until_a_resume_ends_it(
    golden: Path,
) -> None:
    """The driver was stuck in a call, so that the process ended before its tables were written."""
    finished = golden / "finished"
    before = table(finished)
    with open_for_resume(finished) as (spec, records):
        layout = SweepLayout(finished)
        run = TuneRun(
            *(spec, layout, layout.read_sweep(), {"cpu": 1, "gpu": 0}, records),
            RunOptions(allow_custom_model=True),
        )
        run._switch.replace("ray_died")
        assert run._record_death() == f"sweep resume {finished} --allow-custom-model"
        run._log.close()
    record = layout.read_sweep()
    assert (record.state, record.reason, record.pid) == ("paused", "ray_died", None)
    layout.trials_csv.unlink()
    done = invoke("resume", finished, "--allow-custom-model")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "concurrent" not in done.stdout, "Ray has been started"
    assert table(finished) == before
    assert layout.read_sweep().state == "finished"


@pytest.mark.slow
def test_a_finished_sweep_of_an_earlier_version_gets_more_trials(golden: Path) -> None:
    finished = golden / "finished"
    before = curves(finished)
    done = invoke("resume", finished, "--num-samples", 4, "--allow-custom-model")
    assert (done.exit_code, done.stderr) == (0, ""), done.stdout
    after = curves(finished)
    assert {number: after[number] for number in before} == before
    assert after.keys() == {0, 1, 2, 3}


def test_a_trial_of_an_earlier_version_is_restored_from_its_checkpoint_alone(
    golden: Path, working_directory: Path
) -> None:
    (source,) = golden.glob("finished/*/checkpoints/epoch_0001.pt")
    alone = working_directory / "alone.pt"
    shutil.copyfile(source, alone)
    done = invoke("restore", alone, "--dir", working_directory / "own", "--allow-custom-model")
    assert (done.exit_code, done.stderr) == (0, ""), done.stdout
    (experiment,) = (working_directory / "own").iterdir()
    state = torch.load(experiment / "checkpoints" / "latest.pt", weights_only=True)
    assert state["epoch"] == 3
