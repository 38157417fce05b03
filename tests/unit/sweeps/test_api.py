"""`from sweeps import load_sweep`: a sweep in Python."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image

import sweeps
from sweeps import errors, list_sweeps, load_sweep
from sweeps.errors import SweepError, TuneSweepsError
from tests.support.fake_sweeps import FakeSweep
from trainable.artifacts.checkpoint import write_checkpoint


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return FakeSweep(tmp_path / "sweep", states={3: "failed", 5: "pending"}).write()


def test_what_is_not_offered_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'sweeps' has no attribute 'lod_sweep'"):
        sweeps.lod_sweep  # noqa: B018


def test_trials_are_a_data_frame_best_first(directory: Path) -> None:
    loaded = load_sweep(directory)
    frame = loaded.trials
    assert len(frame) == 12
    scores = frame["val_acc"].dropna()
    assert list(scores) == sorted(scores, reverse=True)
    assert frame.loc[0, "trial"] == loaded.best.id
    assert frame.set_index("trial").loc["0003aaaa", "failure"] == "oom"
    assert frame.set_index("trial").loc["0005aaaa", "state"] == "pending"
    assert frame["optimizer.learning_rate"].dtype == float


def test_curves_have_a_row_an_epoch(directory: Path) -> None:
    curves = load_sweep(str(directory)).curves
    of_one = curves[curves["trial"] == "0001aaaa"]
    assert list(of_one["epoch"]) == list(range(1, 10))


def test_a_checkpoint_is_found_by_the_beginning_of_an_id(directory: Path) -> None:
    loaded = load_sweep(directory)
    assert loaded.checkpoint() == loaded.best.directory / "checkpoints" / "best.pt"
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
        load_sweep(directory).best  # noqa: B018


def test_the_report_is_written_from_python_too(directory: Path) -> None:
    assert load_sweep(directory).report() == directory / "report.html"


def test_times_are_aware(directory: Path) -> None:
    loaded = load_sweep(directory)
    assert loaded.started == datetime(2026, 1, 15, 14, 30, 22, tzinfo=UTC)
    assert loaded.ended is not None
    assert loaded.ended - loaded.started == timedelta(hours=1)
    types = loaded.trials.dtypes.astype(str)
    assert types[["created", "started", "ended"]].tolist() == ["datetime64[ns, UTC]"] * 3
    for trial in loaded:
        assert trial.created.utcoffset() is not None
        frame = loaded.trials.set_index("trial").loc[trial.id]
        assert pd.Timestamp(trial.created) == frame["created"]
        assert (trial.ended is None) == pd.isna(frame["ended"])
        assert trial.duration is None or trial.duration >= timedelta(0)


def test_the_best_trial_has_values_score_config_and_checkpoint(directory: Path) -> None:
    loaded = load_sweep(directory)
    best, row = loaded.best, loaded.trials.iloc[0]
    assert (best.id, best.score, best.epoch) == (row["trial"], row["val_acc"], row["best_epoch"])
    assert best.values["optimizer.learning_rate"] == row["optimizer.learning_rate"]
    assert best.config.optimizer.learning_rate == best.values["optimizer.learning_rate"]
    assert best.checkpoint == directory / row["checkpoint"]
    assert best.metrics["val_acc"] == best.score == best.curve["val_acc"].max()
    assert (best.has_checkpoint, loaded.trial("0005").has_checkpoint) == (True, False)
    pending = loaded.trial("0005")
    (pending.directory / "config.yaml").unlink()
    with pytest.raises(SweepError, match=r"trial 0005aaaa \(pending\) has not started yet"):
        pending.config  # noqa: B018
    with pytest.raises(TypeError, match="not callable"):
        loaded.best()  # type: ignore[operator]


def test_sweeps_in_a_directory_are_a_data_frame(directory: Path) -> None:
    (directory.parent / "broken").mkdir()
    (directory.parent / "broken" / "sweep.json").write_text("{")
    frame = list_sweeps(directory.parent).set_index("name")
    best = load_sweep(directory).best
    assert tuple(frame.loc["sweep", ["state", "best", "trial"]]) == (
        "finished",
        best.score,
        best.id,
    )
    assert frame.loc["sweep", "started"] == pd.Timestamp("2026-01-15T14:30:22Z")
    assert "sweep.json: not a record of this version" in str(frame.loc["broken", "error"])
    with pytest.raises(SweepError, match="there is no such directory"):
        list_sweeps(directory / "x")


def test_every_public_name_has_a_docstring() -> None:
    assert [name for name in sweeps.__all__ if not getattr(sweeps, name).__doc__] == []
    assert set(dir(sweeps)) == {*sweeps.__all__, "__version__"}


def test_a_sweep_without_trials_has_an_empty_table(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep").write()
    sweep = load_sweep(directory)
    sweep.files.results.clear()
    assert len(sweep.trials) == 0


def test_what_is_no_trial_and_no_dotted_key_is_refused(directory: Path) -> None:
    sweep = load_sweep(directory)
    mistaken: Any = {1: 2}
    with pytest.raises(TypeError, match="trial: must be a Trial or the beginning of an id"):
        sweep.evaluate(mistaken)
    for call in (sweep.evaluate, lambda **keys: sweep.predict(directory / "sweep.json", **keys)):
        with pytest.raises(errors.ConfigError, match="set takes dotted keys"):
            call(set=mistaken)  # type: ignore[operator]


def test_a_broken_sweep_is_listed_with_its_directory(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sweep.json").write_text("{")
    (row,) = list_sweeps(tmp_path).to_dict("records")
    assert (row["state"], row["directory"]) == ("broken", str(broken))
