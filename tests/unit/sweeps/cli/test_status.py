"""The commands that read a sweep's files, as a user types them, without Ray or training."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from sweeps.cli import main
from sweeps.results.export import write_parquet
from sweeps.storage.lock import sweep_lock
from tests.support.fake_sweeps import FakeSweep, as_json, sweep, trial

ROOT = Path(__file__).parents[4]
READING_COMMANDS = [
    "list",
    "status",
    "best",
    "show",
    "logs",
    "compare",
    "plot",
    "report",
    "export",
    "gc",
]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    return lambda name="digits", **options: FakeSweep(
        tmp_path / "experiments" / name, **options
    ).write()


@pytest.fixture
def finished(make: Callable[..., Path]) -> Path:
    return make()


# ------------------------------------------------------------------------ list, status, best


def test_list_shows_every_sweep_with_its_state_and_best_trial(make: Callable[..., Path]) -> None:
    first = make("first")
    make("second", state="paused", states={11: "paused"})
    sweeps = {entry["name"]: entry for entry in as_json("list", first.parent)}
    assert sweeps["first"]["state"] == "finished"
    assert (sweeps["first"]["ended"], sweeps["first"]["total"]) == (12, 12)
    assert (sweeps["second"]["state"], sweeps["second"]["ended"]) == ("paused", 11)
    assert sweeps["first"]["best"] == as_json("status", first)["best"]
    assert {"first", "second"} <= set(sweep("list", first.parent).stdout.split())


def test_list_shows_a_broken_sweep_beside_the_good_ones(make: Callable[..., Path]) -> None:
    good, bad = make("good"), make("bad")
    (bad / "sweep.json").write_text("{}")
    sweeps = {entry["name"]: entry for entry in as_json("list", good.parent)}
    assert sweeps["good"]["state"] == "finished"
    assert sweeps["bad"]["state"] == "broken"
    assert "not a record of this version" in sweeps["bad"]["error"]
    assert "bad: " in sweep("list", good.parent).stderr


def test_list_reports_a_directory_without_sweeps(tmp_path: Path) -> None:
    assert f"no sweeps in {tmp_path}" in sweep("list", tmp_path).stdout
    assert "there is no such directory" in sweep("list", tmp_path / "none", code=2).stderr


def test_list_shortens_a_long_name_and_keeps_every_column(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    long, short = make("digits_" + "x" * 90 + "_cosine"), make("mnist")
    monkeypatch.setenv("COLUMNS", "80")
    lines = sweep("list", short.parent).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    (row,) = [line.split() for line in lines if "mnist" in line]
    assert row[:4] == ["mnist", "finished", "12/12", "0.9243"]
    (other,) = [line.split() for line in lines if line.strip().startswith("digits_")]
    assert other[1:] == row[1:]
    assert other[0].endswith("_cosine")
    monkeypatch.delenv("COLUMNS")  # in a file or a pipe
    assert long.name in sweep("list", short.parent).stdout


@pytest.mark.parametrize("verb", READING_COMMANDS)
def test_output_in_ascii_replaces_other_characters(verb: str, make: Callable[..., Path]) -> None:
    directory = make("größe_模型", trials=3, states={1: "failed"})
    (trial(directory, 1) / "trial.log").write_text("größe 模型", encoding="utf-8")
    rest = {"show": ["0000"], "logs": ["0001"], "compare": ["0000", "0001"]}.get(verb, [])
    words = [verb, str(directory.parent if verb == "list" else directory), *rest]
    result = CliRunner(charset="ascii").invoke(main.main, words)
    assert result.exit_code == 0, repr(result.exception)
    assert "gr??e_??" in result.stdout or verb not in {"list", "status", "best", "report"}


def test_an_error_in_ascii_replaces_other_characters(tmp_path: Path) -> None:
    words = ["status", str(tmp_path / "größe")]
    result = CliRunner(charset="ascii").invoke(main.main, words)
    assert result.exit_code == 2
    assert "gr" in result.stderr
    assert "is this a sweep's directory?" in result.stderr


def test_status_counts_trials_and_epochs(make: Callable[..., Path]) -> None:
    directory = make(states={3: "failed", 4: "running", 5: "pending"}, state="running")
    with sweep_lock(directory):
        values = as_json("status", directory)
        text = sweep("status", directory).stdout
    assert values["state"] == "running"
    assert values["trials"]["failed"] == 1
    assert values["failed"] == [{"trial": "0003aaaa", "cause": "oom"}]
    (live,) = values["unended"]
    assert (live["trial"], live["epoch"], live["epochs"]) == ("0004aaaa", 5, 9)
    stopped = values["trials"]["stopped"]
    assert values["saved_epochs"] == stopped * (9 - 3) > 0
    assert f"10 of 12 trials ended (1 failed, {values['trials']['finished']} finished" in text
    assert f"{stopped} stopped), 1 not started, 1 running\n" in text
    assert f"1 failed; read why:\n  oom:  sweep logs {directory} 0003aaaa\n" in text
    assert "best so far: trial" in text
    assert "0004aaaa" in text


def test_status_and_show_say_which_rule_has_ended_a_trial(make: Callable[..., Path]) -> None:
    directory = make(rules={1: "max_seconds", 4: "early_stopping", 5: "early_stopping"})
    lines = sweep("status", directory).stdout.splitlines()
    assert "2 trials ended by training.early_stopping: 0004aaaa, 0005aaaa" in lines
    assert "1 trial ended by training.max_seconds: 0001aaaa" in lines
    values = as_json("status", directory)
    assert values["failed"] == []
    assert {"trial": "0001aaaa", "by": "max_seconds", "reason": "a rule"} in values["stopped"]
    shown = sweep("show", directory, "0001").stdout
    assert "trial 0001aaaa, number 1: stopped by training.max_seconds: a rule" in shown


def test_a_sweep_whose_driver_has_died_is_interrupted(make: Callable[..., Path]) -> None:
    directory = make(state="running", states={0: "running"})
    assert as_json("status", directory)["state"] == "interrupted"
    (directory / ".lock").touch()
    assert as_json("status", directory)["state"] == "interrupted"
    assert f"resume it:  sweep resume {directory}" in sweep("status", directory).stdout


def test_status_watch_ends_with_the_sweep(finished: Path) -> None:
    lines = sweep("status", finished, "--watch", "--json").stdout.splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["finished"]
    assert "12 of 12 trials ended" in sweep("status", finished, "--watch").stdout


def test_best_is_the_trial_with_the_best_epoch(finished: Path) -> None:
    values = as_json("best", finished)
    scores = {
        path.parent.name[-8:]: max(
            json.loads(line)["val_acc"] for line in path.read_text().splitlines()
        )
        for path in finished.glob("*/metrics.jsonl")
    }
    best = max(scores, key=lambda name: scores[name])
    assert (values["trial"], values["value"]) == (best, scores[best])
    assert values["checkpoint"] == str(next(finished.glob(f"*{best}/checkpoints/best.pt")))
    assert values["config"]["model"]["name"] == "resnet20"
    assert values["values"]["optimizer.learning_rate"] > 0
    text = sweep("best", finished).stdout
    assert f"best: trial {best}, val_acc {scores[best]:.4f}" in text
    assert values["restore"] == f"sweep restore {values['checkpoint']} --epochs 18"
    assert f"train it further:  {values['restore']}\n" in text


def test_an_unfinished_sweep_has_only_a_best_so_far(make: Callable[..., Path]) -> None:
    directory = make(state="paused", states={0: "paused"})
    assert sweep("best", directory).stdout.startswith("best so far: ")


def test_best_reports_that_best_pt_has_another_epoch(make: Callable[..., Path]) -> None:
    directory = make(tune={"metric": "train_loss"})
    best = as_json("best", directory)
    path = trial(directory, int(best["trial"][:4])) / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1]["val_acc"] = 1.5
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert as_json("best", directory)["checkpoint_epoch"] == 2
    assert "has epoch 2, the best by val_acc, not the best by train_loss" in (
        sweep("best", directory).stdout
    )


def test_without_a_completed_epoch_there_is_no_best_trial(make: Callable[..., Path]) -> None:
    directory = make(trials=2, states={0: "pending", 1: "pending"}, state="paused")
    assert "no trial has completed an epoch" in sweep("best", directory, code=2).stderr
    assert "no trial has completed an epoch" in sweep("plot", directory, code=2).stderr
    assert as_json("status", directory)["best"] is None


# ------------------------------------------------------------------------ whole sweeps


def test_plot_draws_the_trials_and_the_best_curves(finished: Path) -> None:
    text = sweep("plot", finished).stdout
    assert len(re.findall(r"^ +[\d.]* \|", text, re.MULTILINE)) == 28
    best = as_json("best", finished)
    assert f"best: trial {best['trial']}" in text
    assert f"1: {best['trial']}" in text


def test_export_writes_the_same_trials_in_every_format(finished: Path, tmp_path: Path) -> None:
    table = list(csv.DictReader(io.StringIO(sweep("export", finished).stdout)))
    data = json.loads(sweep("export", finished, "--format", "json").stdout)
    path = tmp_path / "trials.parquet"
    sweep("export", finished, "--format", "parquet", "--output", path)
    frame = pd.read_parquet(path)
    ids = [row["trial"] for row in data]
    assert len(ids) == 12
    assert ids == [row["trial"] for row in table] == list(frame["trial"])
    scores = [row["val_acc"] for row in data]
    assert scores == sorted(scores, reverse=True) == list(frame["val_acc"])
    assert [float(row["optimizer.learning_rate"]) for row in table] == list(
        frame["optimizer.learning_rate"]
    )


def test_export_of_epochs_has_one_row_per_epoch(finished: Path, tmp_path: Path) -> None:
    path = tmp_path / "epochs.csv"
    sweep("export", finished, "--epochs", "--output", path)
    frame = pd.read_csv(path)
    assert len(frame) == as_json("status", finished)["epochs"]
    assert list(frame[frame.trial == "0001aaaa"].epoch) == list(range(1, 10))


def test_parquet_accepts_choices_of_several_types(tmp_path: Path) -> None:
    path = tmp_path / "trials.parquet"
    write_parquet([{"scheduler.milestones": value} for value in ([1, 2], "none")], path)
    assert set(pd.read_parquet(path)["scheduler.milestones"]) == {"[1, 2]", '"none"'}


def test_a_binary_export_requires_a_file(finished: Path) -> None:
    assert "add --output FILE" in sweep("export", finished, "--format", "parquet", code=2).stderr


def test_json_has_null_for_nan(finished: Path) -> None:
    path = trial(finished, 1) / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[-1]["val_acc"] = rows[-1]["val_loss"] = float("nan")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = sweep("show", finished, "0001", "--json").stdout
    assert "NaN" not in text
    assert json.loads(text)["rows"][-1]["val_loss"] is None


def test_a_copied_sweep_can_be_read(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(finished, copy)
    shutil.rmtree(finished)
    assert as_json("best", copy)["checkpoint"].startswith(str(copy))
    assert as_json("status", copy)["trials"] == {"finished": 8, "stopped": 4}


def test_reading_commands_change_no_file(finished: Path) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    for words in (["status"], ["best"], ["show", "0001"], ["plot"], ["export"]):
        sweep(words[0], finished, *words[1:])
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("verb", [verb for verb in READING_COMMANDS if verb != "list"])
def test_a_directory_that_is_not_a_sweep_is_one_error(tmp_path: Path, verb: str) -> None:
    rest = {"show": ["a"], "logs": ["a"], "compare": ["a", "b"]}.get(verb, [])
    error = sweep(verb, tmp_path, *rest, code=2).stderr
    assert "is this a sweep's directory?" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", READING_COMMANDS)
def test_the_help_has_an_example(verb: str) -> None:
    assert f"Example: sweep {verb} " in " ".join(sweep(verb, "--help").stdout.split())
    assert verb in main.main.commands


def test_a_closed_pipe_is_not_an_error(finished: Path) -> None:
    script = "from sweeps.cli.main import main; main()"
    words = [sys.executable, "-c", script, "show", str(finished), "0001"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_trial_with_nothing_but_nan_losses_is_not_the_best(make: Callable[..., Path]) -> None:
    """With NaN logits every image gets the first class, which most images may have."""
    directory = make(trials=1, states={0: "failed"})
    metrics = trial(directory, 0) / "metrics.jsonl"
    row = {"epoch": 1, "train_loss": float("nan"), "val_loss": float("nan"), "val_acc": 0.99}
    metrics.write_text(json.dumps(row) + "\n")
    reason = "no trial has an epoch with a finite loss"
    for verb in ("best", "plot"):
        assert reason in sweep(verb, directory, code=2).stderr
    assert f"best: {reason}" in sweep("status", directory).stdout
    assert as_json("status", directory)["best"] is None
    (exported,) = csv.DictReader(io.StringIO(sweep("export", directory).stdout))
    assert (exported["val_acc"], exported["best_epoch"]) == ("", "")
