"""Trials of a sweep that are reopened: the best for more epochs, failed ones for a retry."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sweeps.execution.restore_trials import TrialRestorer
from sweeps.execution.resume import reopen_best, reopen_failed
from sweeps.results.stored_spec import open_sweep
from sweeps.results.trial_results import read_results
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import Failure, TrialRecord
from tests.support.fake_sweeps import ONE_KEY, FakeSweep
from trainable.artifacts.metrics import read_rows
from trainable.errors import ConfigError


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Writes a finished sweep of four trials of nine epochs under random search."""

    def write(**changes: Any) -> Path:
        settings = {"trials": 4, "space": ONE_KEY, "tune": {}, **changes}
        return FakeSweep(tmp_path / "sweep", **settings).write()

    return write


def best_first(directory: Path) -> list[TrialRecord]:
    return [result.record for result in read_results(directory, "val_acc", "max")]


def snapshot(directory: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in directory.rglob("*") if p.is_file() and p.name != ".lock"}


def test_the_best_trials_are_extended_and_the_others_are_not_touched(
    make: Callable[..., Path],
) -> None:
    directory = make(tune={"scheduler": {"name": "asha", "grace_period": 1}})
    first, second, *others = best_first(directory)
    before = snapshot(directory)
    spec, records = open_sweep(directory)
    run = reopen_best(spec, directory, records, top=2, epochs=20)
    assert (run.tune.num_samples, run.tune.scheduler.name) == (4, "fifo")
    assert snapshot(directory) == before, "the sweep may still be refused"
    for record in records:
        if record.id in {first.id, second.id}:
            assert (record.state, record.ended) == ("paused", None)
            assert record.changes == {"training.epochs": 20}
        else:
            assert record in others


def test_named_trials_are_extended_in_the_place_of_the_best(make: Callable[..., Path]) -> None:
    directory = make()
    *_, third, last = best_first(directory)
    spec, records = open_sweep(directory)
    names = [last.id, third.id[:4], last.directory]
    reopen_best(spec, directory, records, trials=names, epochs=20)
    extended = {record.id for record in records if record.changes == {"training.epochs": 20}}
    assert extended == {last.id, third.id}
    assert {record.id for record in records if record.state == "paused"} == extended


def test_a_named_trial_that_failed_or_does_not_exist_is_refused(
    make: Callable[..., Path],
) -> None:
    directory = make(states={1: "failed"})
    assert refused_best(directory, trials=["0000", "0001"]) == (
        f"trial 0001aaaa has failed; retry it first: sweep retry {directory}"
    )
    text = refused_best(directory, trials=["0000", "zzzz"])
    assert text.startswith(f'{directory}: no trial has an id that begins with "zzzz"')


def test_a_failed_trial_is_not_among_the_best(make: Callable[..., Path]) -> None:
    directory = make()
    best = best_first(directory)[0]
    failure = Failure("nan", "the loss is not finite", "", 9, None, "now")
    SweepLayout(directory).write_trial(
        dataclasses.replace(best, state="failed", failures=[failure])
    )
    spec, records = open_sweep(directory)
    reopen_best(spec, directory, records, top=1, epochs=20)
    states = {record.id: record.state for record in records}
    assert states[best.id] == "failed"
    assert list(states.values()).count("paused") == 1


def test_no_new_trial_is_created_by_any_search(make: Callable[..., Path]) -> None:
    """The winners are not repeated again, and BOHB does not require its scheduler."""
    tune = {
        "search_alg": {"name": "bohb"},
        "scheduler": {"name": "asha"},
        "num_samples": 3,
        "final": {"top": 1, "repeats": 1},
        "target": 0.1,
    }
    directory = make(tune=tune)
    last = SweepLayout(directory).read_trials()[3]
    SweepLayout(directory).write_trial(dataclasses.replace(last, final=True, repeat=1))
    spec, records = open_sweep(directory)
    run = reopen_best(spec, directory, records, top=1, epochs=20)
    assert (run.tune.num_samples, run.trials) == (3, 3)
    assert (run.tune.scheduler.name, run.tune.target) == ("fifo", None)


def test_a_top_above_the_number_of_trials_is_all_of_them(make: Callable[..., Path]) -> None:
    directory = make()
    spec, records = open_sweep(directory)
    reopen_best(spec, directory, records, top=99, epochs=20)
    assert {record.state for record in records} == {"paused"}


def refused_best(
    directory: Path, *, top: int | None = 1, trials: Sequence[str] = (), epochs: int = 20
) -> str:
    """Returns the error of `reopen_best` after checking that no file has changed."""
    before = snapshot(directory)
    spec, records = open_sweep(directory)
    with pytest.raises((SweepError, ConfigError)) as caught:
        reopen_best(spec, directory, records, top=top, trials=trials, epochs=epochs)
    assert snapshot(directory) == before
    return str(caught.value)


def test_an_unfinished_sweep_has_to_be_finished_first(make: Callable[..., Path]) -> None:
    directory = make(state="paused", states={2: "paused"})
    assert refused_best(directory) == (
        f"{directory} has not finished; finish it first: sweep resume {directory}"
    )


def test_a_sweep_with_missing_trials_has_to_be_finished_first(make: Callable[..., Path]) -> None:
    directory = make(state="paused", tune={"num_samples": 6})
    assert "has not finished" in refused_best(directory)


def test_epochs_are_a_total_above_those_already_trained(make: Callable[..., Path]) -> None:
    directory = make(states=dict.fromkeys(range(4), "finished"))
    text = refused_best(directory, top=2, epochs=9)
    assert text.startswith("--epochs is the new total: trial ")
    assert text.endswith("has already completed 9, found 9; give more than 9")


def test_a_trial_without_weights_does_not_silently_start_again(make: Callable[..., Path]) -> None:
    directory = make(weights=False, keep={"trials": 1})
    text = refused_best(directory)
    assert "has no checkpoint (keep.trials: 1)" in text
    assert text.endswith("config.yaml")


def test_a_sweep_without_checkpoints_cannot_extend_its_best_trials(
    make: Callable[..., Path],
) -> None:
    directory = make(weights=False)
    path = directory / "search.yaml"
    path.write_text(path.read_text().replace("    enabled: true", "    enabled: false", 1))
    assert "has no checkpoint (checkpoint.enabled: false)" in refused_best(directory)


def test_without_checkpoints_a_trial_that_a_dead_driver_left_has_ended_or_starts_again(
    make: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Both were running in their fifth epoch, which is the last one of the first trial."""
    directory = make(weights=False, states={0: "running", 1: "running"}, state="running")
    layout = SweepLayout(directory)
    records = layout.read_trials()
    epochs = {record.id: 5 if record.number == 0 else 9 for record in records}
    TrialRestorer(layout, records, epochs, saves=False)
    assert [record.state for record in layout.read_trials()[:2]] == ["finished", "running"]
    rows = [read_rows(directory / record.directory / "metrics.jsonl") for record in records[:2]]
    assert [len(own) for own in rows] == [5, 0]
    assert capsys.readouterr().out == (
        "note: trial 0001aaaa has no checkpoint and starts again from epoch 1\n"
    )


def test_a_sweep_without_a_good_trial_is_refused(make: Callable[..., Path]) -> None:
    directory = make(states=dict.fromkeys(range(4), "failed"))
    assert "no trial has a result" in refused_best(directory)


def test_epochs_that_the_config_does_not_allow_are_refused_before_anything_is_marked(
    make: Callable[..., Path],
) -> None:
    directory = make(states=dict.fromkeys(range(4), "stopped"))  # after three epochs
    path = directory / "search.yaml"
    path.write_text(
        path.read_text().replace(
            "  optimizer:", "  scheduler: {warmup_epochs: 6}\n  optimizer:", 1
        )
    )
    assert "scheduler.warmup_epochs: must be below training.epochs (5)" in refused_best(
        directory, epochs=5
    )


@pytest.fixture
def failing(make: Callable[..., Path]) -> Path:
    """A sweep of four trials: two out of memory, one diverged, one finished."""
    directory = make(states={0: "failed", 1: "failed", 2: "failed", 3: "finished"})
    layout = SweepLayout(directory)
    diverged = layout.read_trials()[2]
    diverged.failures.append(Failure("nan", "the loss is not finite", "", 2, None, "now"))
    layout.write_trial(diverged)
    return directory


@pytest.mark.parametrize(
    ("cause", "numbers"), [(None, [0, 1, 2]), ("oom", [0, 1]), ("nan", [2]), ("data", [])]
)
def test_failed_trials_are_reopened_by_their_last_cause(
    cause: str | None, numbers: list[int], failing: Path
) -> None:
    before = snapshot(failing)
    _, records = open_sweep(failing)
    states = [record.state for record in records]
    chosen = reopen_failed(records, cause)
    assert snapshot(failing) == before, "the sweep may still be refused"
    assert [record.number for record in chosen] == numbers
    for record in records:
        if record.number in numbers:
            assert (record.state, record.ended) == ("paused", None)
            assert record.ignored_failures == len(record.failures) > 0
        else:
            assert (record.state, record.ignored_failures) == (states[record.number], 0)


def test_an_unknown_cause_is_refused_with_the_nearest(failing: Path) -> None:
    before = snapshot(failing)
    _, records = open_sweep(failing)
    with pytest.raises(SweepError) as caught:
        reopen_failed(records, "oomm")
    assert str(caught.value).startswith('--cause: unknown name, found "oomm"; did you mean "oom"?')
    assert snapshot(failing) == before
