"""What the terminal shows in the end: what is claimed, and the commands that follow."""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweeps.cli.summary import print_ending
from sweeps.execution.resume import opened
from sweeps.results.outcome import Outcome
from sweeps.results.trial_results import read_results
from sweeps.sweep_dir.layout import SweepError, SweepLayout
from tests.support.fake_sweeps import ONE_KEY, FakeSweep

Ending = Callable[..., list[str]]


@pytest.fixture
def ending(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ending:
    """The lines printed for a sweep of four trials; `prepare` changes its files before."""

    def show(prepare: Callable[[Path], Any] = lambda directory: None, **sweep: Any) -> list[str]:
        settings = {"trials": 4, "space": ONE_KEY, "tune": {}, **sweep}
        directory = FakeSweep(tmp_path / "my sweep", **settings).write()
        results = read_results(directory, "val_acc", "max")
        prepare(directory)
        record = SweepLayout(directory).read_sweep()
        no_grid: Any = None
        print_ending(Outcome(directory, record, results, {"val_acc": "max"}, no_grid))
        return capsys.readouterr().out.splitlines()

    return show


def best_line(lines: list[str]) -> str:
    (found,) = [line for line in lines if line.startswith("best")]
    return found


def test_a_finished_sweep_names_its_best_and_what_to_do_with_it(
    ending: Ending, tmp_path: Path
) -> None:
    lines = ending(lambda directory: (directory / "best_config.yaml").touch())
    directory = tmp_path / "my sweep"
    best = read_results(directory, "val_acc", "max")[0]
    assert best.best is not None
    shown = f"val_acc {best.best['val_acc']:.4f} at epoch {best.best['epoch']}"
    at = lines.index(f"best: trial {best.record.id}, {shown}")
    checkpoint = shlex.quote(str(best.directory / "checkpoints" / "best.pt"))
    assert lines[at + 1 :] == [
        f"  score it on the test set:  sweep eval {checkpoint}",
        f"  train it further, alone:   sweep restore {checkpoint} --epochs N",
        f"  train its config anew:     python -m trainable '{directory}/best_config.yaml'",
    ]
    assert lines[0].startswith("trials by val_acc of their best epoch")


def test_a_paused_sweep_shows_the_best_so_far_and_ends_with_the_command_that_goes_on(
    ending: Ending, tmp_path: Path
) -> None:
    lines = ending(state="paused", states={3: "paused"})
    assert best_line(lines).startswith("best so far: trial ")
    assert lines[-2:] == [
        "paused (SIGINT), not finished; to go on:",
        f"sweep resume '{tmp_path}/my sweep'",
    ]


def test_failed_trials_are_counted_by_cause_with_the_command_that_retries(
    ending: Ending, tmp_path: Path
) -> None:
    lines = ending(states={0: "failed", 1: "failed"})
    at = lines.index("2 failed (oom); why: trial.json of each trial")
    assert lines[at + 1] == f"to try them again: sweep retry '{tmp_path}/my sweep'"


def test_without_a_completed_epoch_nothing_is_called_best(ending: Ending) -> None:
    lines = ending(states=dict.fromkeys(range(4), "pending"), state="paused")
    assert best_line(lines) == "best so far: no trial has completed an epoch"


def test_a_trial_without_weights_is_named_without_commands_on_them(ending: Ending) -> None:
    lines = ending(weights=False)
    assert best_line(lines).startswith("best: trial ")
    assert not any("sweep eval" in line or "sweep restore" in line for line in lines)


def test_where_no_trial_is_kept_nothing_is_said_to_go_on(ending: Ending) -> None:
    def forget(directory: Path) -> None:
        for path in directory.glob("resnet20_*"):
            shutil.rmtree(path)

    lines = ending(forget, state="paused", states={0: "failed"})
    assert "1 failed (oom); why: above" in lines
    assert lines[-2:] == [
        "ended early (SIGINT), not finished",
        "checkpoint.enabled is false: there is nothing to go on from",
    ]
    assert not any("sweep re" in line for line in lines)


def test_a_sweep_that_kept_tables_only_is_not_begun_anew_by_a_resume(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", space=ONE_KEY, tune={}).write()
    path = directory / "search.yaml"
    path.write_text(path.read_text().replace("    enabled: true", "    enabled: false", 1))
    with pytest.raises(SweepError) as caught, opened(directory):
        pass
    assert str(caught.value) == (
        f"{directory} ran with checkpoint.enabled: false: it keeps its tables only, "
        "there is nothing to go on from"
    )
