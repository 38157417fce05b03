"""The summary at the end of a sweep: its claims, and the commands that it suggests."""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from sweeps.cli.summary import print_summary
from sweeps.execution.resume import open_for_resume
from sweeps.results.outcome import Outcome
from sweeps.results.trial_results import read_results
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from tests.support.fake_sweeps import ONE_KEY, FakeSweep
from trainable.config.yaml_reader import dump_yaml, read_yaml

Summary = Callable[..., list[str]]


@pytest.fixture
def summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Summary:
    """Returns the lines printed for a sweep of four trials, changed by `prepare` before."""

    def run(prepare: Callable[[Path], Any] = lambda directory: None, **sweep: Any) -> list[str]:
        settings = {"trials": 4, "space": ONE_KEY, "tune": {}, **sweep}
        directory = FakeSweep(tmp_path / "my sweep", **settings).write()
        results = read_results(directory, "val_acc", "max")
        prepare(directory)
        record = SweepLayout(directory).read_sweep()
        no_grid: Any = None
        print_summary(Outcome(directory, record, results, {"val_acc": "max"}, 9, no_grid))
        return capsys.readouterr().out.splitlines()

    return run


def best_line(lines: list[str]) -> str:
    (line,) = [line for line in lines if line.startswith("best")]
    return line


def test_a_finished_sweep_names_its_best_trial_and_commands_to_use_it(
    summary: Summary, tmp_path: Path
) -> None:
    lines = summary(lambda directory: (directory / "best_config.yaml").touch())
    directory = tmp_path / "my sweep"
    best = read_results(directory, "val_acc", "max")[0]
    assert best.best is not None
    shown = f"val_acc {best.best['val_acc']:.4f} at epoch {best.best['epoch']}"
    row = lines.index(f"best: trial {best.record.id}, {shown}")
    checkpoint = shlex.quote(str(best.directory / "checkpoints" / "best.pt"))
    assert lines[row + 1 :] == [
        f"  score it on the test set:  sweep eval {checkpoint}",
        f"  export its model:          sweep export-model {checkpoint}",
        f"  train it further, alone:   sweep restore {checkpoint} --epochs 18",
        f"  train its config again:    python -m trainable '{directory}/best_config.yaml'",
    ]
    assert lines[0].startswith("trials by val_acc of their best epoch")


def test_a_sweep_on_class_folders_names_the_command_that_predicts_their_images(
    summary: Summary, tmp_path: Path
) -> None:
    (tmp_path / "my photos" / "test").mkdir(parents=True)

    def use_folders(directory: Path) -> None:
        for path in [directory / "search.yaml", *directory.glob("*/config.yaml")]:
            values = read_yaml(path).data
            section = values["config"] if path.name == "search.yaml" else values
            section["dataset"] = {"name": "image_folder", "root": str(tmp_path / "my photos")}
            path.write_text(dump_yaml(values), encoding="utf-8")

    lines = summary(use_folders)
    (line,) = [line for line in lines if "sweep predict" in line]
    start, _, command = line.partition("sweep predict ")
    assert start == "  predict images with it:    "
    checkpoint, images = shlex.split(command)
    assert Path(checkpoint).is_file()
    assert images == str(tmp_path / "my photos" / "test")


def test_a_sweep_ranked_by_the_loss_names_the_accuracy_of_its_best_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=2, space=ONE_KEY, tune={}).write()
    results = read_results(directory, "val_loss", "min")
    row = results[0].best
    assert row is not None
    record, no_grid = SweepLayout(directory).read_sweep(), cast("Any", None)
    print_summary(Outcome(directory, record, results, {"val_loss": "min"}, 9, no_grid))
    lines = capsys.readouterr().out.splitlines()
    assert best_line(lines).endswith(
        f", val_loss {row['val_loss']:.4f} at epoch {row['epoch']}, val_acc {row['val_acc']:.4f}"
    )
    (best,) = [line.split() for line in lines if line.strip().startswith("1 ")]
    scores = [f"{row['val_loss']:.4f}", f"{row['val_acc']:.4f}", str(row["epoch"])]
    assert best[3:6] == scores


def test_a_paused_sweep_shows_the_best_so_far_and_ends_with_the_resume_command(
    summary: Summary, tmp_path: Path
) -> None:
    lines = summary(state="paused", states={3: "paused"})
    assert best_line(lines).startswith("best so far: trial ")
    assert lines[-2:] == [
        "paused by Ctrl-C; resume it with:",
        f"sweep resume '{tmp_path}/my sweep'",
    ]


def test_failed_trials_are_listed_by_cause_with_the_retry_command(
    summary: Summary, tmp_path: Path
) -> None:
    lines = summary(states={0: "failed", 1: "failed"})
    row = lines.index("2 failed; read why:")
    assert lines[row + 1 : row + 3] == [
        f"  oom:  sweep logs '{tmp_path}/my sweep' 0001aaaa",
        f"  retry them:  sweep retry '{tmp_path}/my sweep'",
    ]


def test_without_a_completed_epoch_nothing_is_called_best(summary: Summary) -> None:
    lines = summary(states=dict.fromkeys(range(4), "pending"), state="paused")
    assert best_line(lines) == "best so far: no trial has completed an epoch"


def test_a_best_trial_without_weights_has_no_commands_that_need_them(summary: Summary) -> None:
    lines = summary(weights=False)
    assert best_line(lines).startswith("best: trial ")
    assert not any("sweep eval" in line or "sweep restore" in line for line in lines)


def test_the_tables_of_an_earlier_version_alone_are_not_resumed(tmp_path: Path) -> None:
    """With `checkpoint.enabled: false` no trial directory was kept."""
    directory = FakeSweep(tmp_path / "sweep", space=ONE_KEY, tune={}).write()
    for path in directory.glob("resnet20_*"):
        shutil.rmtree(path)
    with pytest.raises(SweepError) as caught, open_for_resume(directory):
        pass
    assert str(caught.value) == (
        f"{directory} has the tables of its trials only, as earlier versions left them with "
        "checkpoint.enabled: false: there is nothing to resume from"
    )
