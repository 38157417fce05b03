"""Sweeps run from Python, with the driver that needs neither Ray nor a training."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeps import Search, Sweep, Trial, load_sweep, loguniform, run_sweep
from sweeps.errors import ConfigError, SweepError
from sweeps.trials.epoch_timeout import EpochTimeout
from tests.support.fake_driver import VALUE, install, new_spec

TUNE = {"seed": 1, "num_samples": 3}


def new_search(directory: Path) -> Search:
    spec = new_spec(directory, TUNE)
    return Search(
        name="sweep",
        config=spec.training,
        space={VALUE: loguniform(1e-3, 1.0)},
        tune=TUNE,
        keep={"min_free_gib": 0},
    )


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    install(monkeypatch, slots=2)
    return new_search(tmp_path)


def test_callbacks_get_every_epoch_and_every_end(search: Search) -> None:
    epochs: list[tuple[str, int, float]] = []
    ended: list[Trial] = []
    began = datetime.now(UTC).replace(microsecond=0)
    sweep = run_sweep(
        search,
        set={"tune.num_samples": np.int64(2), "config.training.epochs": 3},
        on_epoch=lambda trial, row: epochs.append((trial.id, row["epoch"], row["val_acc"])),
        on_trial_end=ended.append,
    )
    assert [trial.id for trial in sorted(ended, key=lambda t: -(t.score or 0))] == [
        trial.id for trial in sweep
    ]
    assert [trial.state for trial in ended] == ["finished", "finished"]
    for trial in sweep:
        own = [(epoch, value) for name, epoch, value in epochs if name == trial.id]
        assert own == list(zip(trial.curve["epoch"], trial.curve["val_acc"], strict=True))
        assert began <= trial.created <= trial.ended
    assert sweep.best.score == max(value for _, _, value in epochs)
    assert len(sweep.trials) == 2
    assert "report.html" in {path.name for path in sweep.directory.iterdir()}


@pytest.mark.parametrize("kind", [LookupError, SystemExit])
def test_an_exception_of_a_callback_is_printed_once_and_the_sweep_goes_on(
    search: Search,
    kind: type[BaseException],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    durations: list[float] = []
    monkeypatch.setattr(EpochTimeout, "exclude", lambda self, seconds: durations.append(seconds))

    def fail(trial: Trial, row: dict[str, Any]) -> None:
        raise kind("a mistake of the user")

    sweep = run_sweep(search, on_epoch=fail)
    assert (sweep.state, len(sweep.curves)) == ("finished", 12)
    assert len(durations) == 12, "no trial's epoch_timeout counts the time of a callback"
    printed = capsys.readouterr().out
    assert printed.count("on_epoch has failed (the sweep is not affected):") == 1
    assert printed.count(f"{kind.__name__}: a mistake of the user") == 1
    assert "note: on_epoch has failed 12 times; the sweep is not affected" in printed


def test_a_callback_can_steer_the_sweep_that_waits_for_it(search: Search, tmp_path: Path) -> None:
    refusals: list[str] = []
    paused: list[bool] = []

    def steer(trial: Trial, row: dict[str, Any]) -> None:
        sweep = load_sweep(tmp_path / "sweep")
        if row["epoch"] == 2 and trial.number == 0:
            sweep.stop_trial(trial)
        if row["epoch"] == 1 and trial.number == 2:
            paused.append(sweep.pause())
        for action in (sweep.suggest, sweep.add, sweep.wait):
            try:
                action()
            except SweepError as error:
                refusals.append(str(error))
            else:
                refusals.append("not refused")

    sweep = run_sweep(search, on_epoch=steer)
    assert set(refusals) == {
        f"{name} cannot be called in a callback, for which the sweep waits; call it in another "
        "process or thread"
        for name in ("suggest", "add", "wait")
    }
    assert paused == [True]
    assert sweep.state == "paused"
    (first,) = [trial for trial in sweep if trial.number == 0]
    assert (first.state, first.record.stop_text, first.epochs) == ("stopped", "by hand", 3)
    assert sweep.resume().state == "finished"


def test_resume_extend_and_retry_do_what_the_verbs_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, slots=1, fails=(1, 2))
    search = new_search(tmp_path)
    ended: list[str] = []
    sweep = run_sweep(
        search, set={"failure.max_retries": 0}, on_trial_end=lambda t: ended.append(t.id)
    )
    (failed,) = [trial for trial in sweep if trial.state == "failed"]
    assert failed.failure == "error: scripted failure"
    assert "scripted failure" in str(failed.traceback)
    install(monkeypatch, slots=1)
    retried = sweep.retry(cause="error")
    assert retried.trial(failed.id).state == "finished"
    assert retried.retry().state == "finished"
    more = retried.resume(num_samples=np.int64(5), set={"keep.trials": np.int64(4)})
    assert [len(list(s)) for s in (sweep, retried, more)] == [3, 3, 5]
    best = more.best
    extended = more.extend(top=1, epochs=6)
    assert {t.id: t.epochs for t in extended} == {t.id: 6 if t.id == best.id else 4 for t in more}
    worst = list(more)[3].id
    for chosen, epochs in ((worst, 5), (more.trial(worst), 6), ([more.trial(worst)], 7)):
        assert more.extend(trials=chosen, epochs=np.int64(epochs)).trial(worst).epochs == epochs
    for top in (0, -1):
        with pytest.raises(SweepError, match=f"top: must be >= 1, found {top}"):
            more.extend(top=top, epochs=9)
    with pytest.raises(TypeError, match="either top or trials"):
        more.extend(epochs=9)
    with pytest.raises(SweepError, match=r"optimizer\.learning_rate"):
        more.resume(set={"config.optimizer.learning_rate": 0.5})


@pytest.mark.parametrize("given", ["mapping", "file", "search"])
def test_a_search_is_given_as_a_file_a_mapping_or_an_object(
    given: str, search: Search, tmp_path: Path
) -> None:
    forms: dict[str, Any] = {"mapping": search.to_dict(), "search": search}
    forms["file"] = search.save(tmp_path / "search.yaml")
    sweep = run_sweep(forms[given], set={"tune.num_samples": 1})
    assert isinstance(sweep, Sweep)
    assert len(sweep.trials) == 1


def test_a_refused_search_creates_nothing(search: Search, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--set tune\.num_samples: must be > 0, found 0"):
        run_sweep(search, set={"tune.num_samples": 0})
    with pytest.raises(ConfigError, match="set takes dotted keys such as"):
        run_sweep(search, set={"tune..seed": 0})
    assert not list(tmp_path.iterdir())
