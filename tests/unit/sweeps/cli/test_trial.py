"""The commands that show single trials: show, logs and compare."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.storage.lock import sweep_lock
from tests.support.fake_sweeps import FakeSweep, as_json, sweep, trial


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    return lambda name="digits", **options: FakeSweep(
        tmp_path / "experiments" / name, **options
    ).write()


@pytest.fixture
def finished(make: Callable[..., Path]) -> Path:
    return make()


def test_a_trial_is_found_by_a_unique_beginning_of_its_id(finished: Path) -> None:
    assert as_json("show", finished, "0007")["id"] == "0007aaaa"
    assert as_json("show", finished, trial(finished, 7).name)["id"] == "0007aaaa"
    assert as_json("show", finished, str(trial(finished, 7)) + "/")["id"] == "0007aaaa"


@pytest.mark.parametrize("verb", ["show", "logs"])
def test_an_ambiguous_beginning_is_one_error_with_the_matching_trials(
    finished: Path, verb: str
) -> None:
    error = sweep(verb, finished, "000", code=2).stderr
    assert '"000" matches 10 trial ids' in error
    assert "0000aaaa, 0001aaaa" in error
    assert "and 2 more" in error


def test_an_unknown_trial_is_one_error_with_the_nearest(finished: Path) -> None:
    error = sweep("show", finished, "0003aaab", code=2).stderr
    assert 'no trial has an id that begins with "0003aaab"' in error
    assert 'did you mean "0003aaaa"?' in error
    assert "begins with" in sweep("show", finished, "", code=2).stderr


def test_show_prints_why_a_trial_failed(make: Callable[..., Path]) -> None:
    directory = make(states={3: "failed"})
    text = sweep("show", directory, "0003").stdout
    assert "failed after epoch 2: oom: CUDA out of memory" in text
    assert "None" not in sweep("show", make("new", states={1: "pending"}), "0001").stdout
    assert as_json("show", directory, "0003")["failures"][0]["cause"] == "oom"


def test_show_prints_values_metrics_and_files(finished: Path) -> None:
    values = as_json("show", finished, "0001")
    assert [row["epoch"] for row in values["rows"]] == list(range(1, 10))
    assert len(values["checkpoints"]) == 2
    text = sweep("show", finished, "0001").stdout
    assert "optimizer.learning_rate: " in text
    assert "best.pt" in text


def test_logs_prints_the_workers_output(finished: Path) -> None:
    (trial(finished, 1) / "trial.log").write_bytes("one\n[bold]zwölf[/bold]\n".encode())
    assert sweep("logs", finished, "0001").stdout == "one\n[bold]zwölf[/bold]\n"
    assert sweep("logs", finished, "0001", "-f").stdout == "one\n[bold]zwölf[/bold]\n"


def test_logs_follows_until_the_trial_has_ended(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = make(states={1: "running"}, state="running")
    log = trial(directory, 1) / "trial.log"
    log.write_text("epoch 1\n")

    def finish_another_epoch(seconds: float) -> None:
        with log.open("a") as file:
            file.write("epoch 2\n")
        record = trial(directory, 1) / "trial.json"
        record.write_text(record.read_text().replace('"running"', '"finished"'))

    monkeypatch.setattr("sweeps.cli.trial.time.sleep", finish_another_epoch)
    with sweep_lock(directory):
        assert sweep("logs", directory, "0001", "-f").stdout == "epoch 1\nepoch 2\n"


def test_logs_of_a_failed_trial_ends_with_its_traceback(make: Callable[..., Path]) -> None:
    directory = make(states={3: "failed"})
    assert sweep("logs", directory, "0003").stdout.endswith("Traceback: ...\n")


def test_logs_reports_a_missing_log(finished: Path) -> None:
    assert "has not written a log" in sweep("logs", finished, "0001", code=2).stderr


def test_compare_shows_what_differs(finished: Path) -> None:
    comparison = as_json("compare", finished, "0001", "0002")
    left, right = (as_json("show", finished, name) for name in ("0001", "0002"))
    assert set(comparison["config"]) <= {*left["values"], *right["values"]}
    assert comparison["config"]["optimizer.learning_rate"] == [
        left["values"]["optimizer.learning_rate"],
        right["values"]["optimizer.learning_rate"],
    ]
    assert [row[0] for row in comparison["curves"]] == list(range(1, 10))
    assert [row[1] for row in comparison["curves"]] == [row["val_acc"] for row in left["rows"]]
    assert comparison["curves"][-1][2] is None  # the second trial was stopped
    text = sweep("compare", finished, "0001", "0002").stdout
    assert "optimizer.learning_rate" in text
    assert "1: 0001aaaa, 2: 0002aaaa, val_acc" in text


def test_logs_prints_a_logged_traceback_only_once(make: Callable[..., Path]) -> None:
    directory = make(states={3: "failed"})
    log = "epoch 2\nTraceback: ...\nCUDA out of memory\n"
    (trial(directory, 3) / "trial.log").write_text(log)
    text = sweep("logs", directory, "0003").stdout
    assert text.startswith(log)
    assert text.count("Traceback") == 1
    assert text.endswith(": oom\nCUDA out of memory\n")


def test_sequences_of_a_terminal_are_shown_as_text(make: Callable[..., Path]) -> None:
    directory = make(states={3: "failed"})
    path = trial(directory, 3)
    record = json.loads((path / "trial.json").read_text())
    record["failures"][0]["message"] = "\x1b]0;title\x07 \x9b2J"
    (path / "trial.json").write_text(json.dumps(record))
    (path / "trial.log").write_text("\x1b[32mgreen\x1b[0m\x1b[2J\n10%\r20%\r\n")
    assert "oom: \\x1b]0;title" in sweep("show", directory, "0003").stdout
    log = sweep("logs", directory, "0003").stdout
    assert log.startswith("green\\x1b[2J\n10%\n20%\n")
    for verb in ("show", "logs", "report"):
        printed = sweep(verb, directory, *([] if verb == "report" else ["0003"]))
        assert "\x1b" not in printed.stdout + printed.stderr


def test_show_cuts_no_number_on_a_narrow_terminal(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = as_json("show", finished, "0001")["rows"][0]
    monkeypatch.setenv("COLUMNS", "40")
    text = sweep("show", finished, "0001").stdout
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert f"{row['val_acc']:.4g}" in text
    assert "of 7 columns; --json prints all" in " ".join(text.split())
