"""`from sweeps import load_sweep`: a sweep in Python."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import sweeps
from sweeps import load_sweep
from sweeps.sweep_dir.errors import SweepError
from tests.support.fake_sweeps import FakeSweep
from trainable.artifacts.checkpoint import write_checkpoint
from trainable.errors import TuneSweepsError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return FakeSweep(tmp_path / "sweep", states={3: "failed", 5: "pending"}).write()


def test_import_sweeps_loads_next_to_nothing() -> None:
    script = (
        "import sys, sweeps\n"
        "heavy = {'torch', 'ray', 'optuna', 'pandas', 'pydantic', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "from sweeps import load_sweep, run_sweep\n"
        "heavy = {'torch', 'ray', 'optuna', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_not_offered_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'sweeps' has no attribute 'lod_sweep'"):
        sweeps.lod_sweep  # noqa: B018


def test_trials_are_a_data_frame_best_first(directory: Path) -> None:
    loaded = load_sweep(directory)
    frame = loaded.trials
    assert len(frame) == 12
    scores = frame["val_acc"].dropna()
    assert list(scores) == sorted(scores, reverse=True)
    assert frame.loc[0, "trial"] == loaded.best().record.id
    assert frame.set_index("trial").loc["0003aaaa", "failure"] == "oom"
    assert frame.set_index("trial").loc["0005aaaa", "state"] == "pending"
    assert frame["optimizer.learning_rate"].dtype == float


def test_curves_have_a_row_an_epoch(directory: Path) -> None:
    curves = load_sweep(str(directory)).curves
    of_one = curves[curves["trial"] == "0001aaaa"]
    assert list(of_one["epoch"]) == list(range(1, 10))


def test_a_checkpoint_is_found_by_the_beginning_of_an_id(directory: Path) -> None:
    loaded = load_sweep(directory)
    assert loaded.checkpoint() == loaded.best().directory / "checkpoints" / "best.pt"
    assert loaded.checkpoint("0001") == loaded.trial("0001").checkpoint
    with pytest.raises(SweepError, match=r"trial 0005aaaa \(pending\) has no checkpoint in "):
        loaded.checkpoint("0005")
    with pytest.raises(SweepError, match="no trial has an id that begins with"):
        loaded.checkpoint("x")


def test_a_model_has_the_weights_of_its_checkpoint(
    directory: Path, tiny_trainer: Callable[..., Any]
) -> None:
    trainer = tiny_trainer()
    trainer.run_epoch()
    loaded = load_sweep(directory)
    write_checkpoint(trainer.state_dict(), [loaded.checkpoint()])
    with pytest.raises(TuneSweepsError, match="allow_custom=True"):
        loaded.model()
    model = loaded.model(allow_custom_model=True)
    assert not model.training
    images = torch.rand(2, 1, 8, 8)
    with torch.inference_mode():
        assert torch.equal(model(images), trainer.model.eval()(images))


def test_predictions_are_a_data_frame(
    directory: Path, tmp_path: Path, tiny_trainer: Callable[..., Any]
) -> None:
    loaded = load_sweep(directory)
    write_checkpoint(tiny_trainer().state_dict(), [loaded.checkpoint()])
    grey = tmp_path / "grey.png"
    Image.new("L", (20, 20), 99).save(grey)
    broken = tmp_path / "broken.png"
    broken.write_bytes(grey.read_bytes()[:40])
    frame = loaded.predict([grey, broken], top=2, allow_custom_model=True)
    columns = ["path", "class", "probability", "class_2", "probability_2", "error"]
    assert list(frame) == columns
    assert list(frame["path"]) == [str(grey), str(broken)]
    assert frame.loc[0, "probability"] >= frame.loc[0, "probability_2"] > 0
    assert frame["error"].isna().tolist() == [True, False]


def test_without_an_epoch_there_is_no_best(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=1, states={0: "pending"}).write()
    with pytest.raises(SweepError, match="no trial has completed an epoch"):
        load_sweep(directory).best()


def test_the_report_is_written_from_python_too(directory: Path) -> None:
    assert load_sweep(directory).report() == directory / "report.html"
