"""Hooks with real processes: what they receive, and that they cannot harm the sweep."""

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweeps.execution.observers.hooks import HookRunner
from sweeps.execution.resume import merge_edited
from sweeps.results.stored_spec import open_sweep
from sweeps.results.trial_results import read_results
from sweeps.spec.load import parse_search
from sweeps.spec.settings import Hooks
from sweeps.sweep_dir.layout import SweepLayout
from tests.support.fake_sweeps import FakeSweep
from trainable.config.sections.metrics import Mode
from trainable.config.yaml_reader import dump_yaml
from trainable.errors import ConfigError


def script(path: Path, text: str) -> str:
    """The command that runs a Python script."""
    path.write_text(text)
    return f"{sys.executable} '{path}'"


KEEP = """
import json, os, sys
variables = {name: os.environ[name] for name in os.environ if name.startswith("SWEEP_")}
with open(sys.argv[1], "a") as file:
    file.write(json.dumps([json.load(sys.stdin), variables]) + "\\n")
"""

ReadEvents = Callable[[], list[Any]]


@pytest.fixture
def recording(tmp_path: Path) -> tuple[str, ReadEvents]:
    """A command that records its events and variables, and a function that reads them."""
    file = tmp_path / "event file"
    command = script(tmp_path / "hook.py", KEEP) + f" '{file}'"

    def read() -> list[Any]:
        if not file.exists():
            return []
        return [json.loads(line) for line in file.read_text().splitlines()]

    return command, read


def runner(
    directory: Path, mode: Mode = "max", best_values: list[float] | None = None, **hooks: Any
) -> HookRunner:
    metric = "val_acc" if mode == "max" else "val_loss"
    return HookRunner(
        Hooks(**hooks), directory, metric=metric, mode=mode, best_values=best_values or []
    )


def finish(hooks: HookRunner, tmp_path: Path) -> Any:
    """Finishes a sweep that was only written to disk; returns its best trial."""
    directory = FakeSweep(tmp_path / "experiments" / "digits", trials=4).write()
    results = read_results(directory, "val_acc", "max")
    hooks.finish(SweepLayout(directory).read_sweep(), results)
    return results[0]


def wait_until(reached: Callable[[], bool]) -> None:
    for _ in range(2000):
        if reached():
            return
        time.sleep(0.01)
    raise AssertionError("the condition was not reached in 20 s")


def test_a_command_receives_the_best_and_the_end(
    tmp_path: Path, recording: tuple[str, ReadEvents]
) -> None:
    command, read = recording
    hooks = runner(tmp_path / "digits", on_best=command, on_finish=command)
    hooks.note("ab12", 0.5, 3)
    best = finish(hooks, tmp_path)
    (event, variables), (end, end_variables) = read()
    assert event == {
        "event": "best",
        "sweep": "digits",
        "directory": str(tmp_path / "digits"),
        "trial": "ab12",
        "metric": "val_acc",
        "value": 0.5,
        "epoch": 3,
    }
    assert variables == {
        "SWEEP_DIR": str(tmp_path / "digits"),
        "SWEEP_TRIAL": "ab12",
        "SWEEP_METRIC": "val_acc",
        "SWEEP_VALUE": "0.5",
    }
    assert (end["event"], end["state"], end["reason"]) == ("finish", "finished", None)
    assert (end["trial"], end["value"]) == (best.record.id, best.best["val_acc"])
    assert end_variables["SWEEP_TRIAL"] == best.record.id


def test_the_end_of_a_sweep_without_results_has_an_empty_value(
    tmp_path: Path, recording: tuple[str, ReadEvents]
) -> None:
    command, read = recording
    record = SweepLayout(FakeSweep(tmp_path / "sweep").write()).read_sweep()
    record.state, record.reason = "paused", "SIGINT"
    runner(tmp_path / "sweep", on_finish=command).finish(record, [])
    ((end, variables),) = read()
    assert (end["state"], end["reason"], end["value"]) == ("paused", "SIGINT", None)
    assert (variables["SWEEP_TRIAL"], variables["SWEEP_VALUE"]) == ("", "")


@pytest.mark.parametrize(("mode", "worse", "better"), [("max", 0.3, 0.6), ("min", 0.6, 0.3)])
def test_on_best_runs_only_for_a_value_better_than_all_before(
    tmp_path: Path, recording: tuple[str, ReadEvents], mode: Mode, worse: float, better: float
) -> None:
    command, read = recording
    hooks = runner(tmp_path / "digits", mode, best_values=[0.5, worse], on_best=command)
    before = threading.active_count()
    for value in (None, float("nan"), worse, 0.5):
        hooks.note("ab12", value, 1)
    assert threading.active_count() == before
    hooks.note("ab12", better, 2)
    finish(hooks, tmp_path)
    assert [event["value"] for event, _ in read()] == [better]


WAIT_FOR_RELEASE = """
import os, sys, time
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
"""


def test_while_on_best_runs_only_the_newest_best_is_kept(
    tmp_path: Path, recording: tuple[str, ReadEvents]
) -> None:
    command, read = recording
    release = tmp_path / "release"
    (tmp_path / "hook.py").write_text(KEEP + WAIT_FOR_RELEASE)
    hooks = runner(tmp_path / "digits", on_best=f"{command} '{release}'")
    hooks.note("ab12", 0.1, 1)
    wait_until(lambda: len(read()) == 1)
    for step in (2, 3, 4):
        hooks.note("ab12", step / 10, step)
    release.touch()
    finish(hooks, tmp_path)
    assert [event["value"] for event, _ in read()] == [0.1, 0.4]


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        ("no-such-command-at-all --now", "No such file or directory"),
        ("sh -c 'echo one >&2; echo two >&2; exit 3'", "sh: exit code 3: two"),
        ("sh -c 'kill -9 $$'", "sh: exit code -9"),
    ],
)
def test_a_failure_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], hook: str, reason: str
) -> None:
    hooks = runner(tmp_path / "digits", on_best=hook, on_finish=hook)
    hooks.note("ab12", 0.5, 1)
    finish(hooks, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("hook on_best failed (the sweep is not affected): ")
    assert lines[1].startswith("hook on_finish failed (the sweep is not affected): ")
    assert all(reason in line for line in lines)


STARTS_A_CHILD = """
import os, subprocess, sys
child = subprocess.Popen(["sleep", "600"])
with open(sys.argv[1], "w") as file:
    file.write(f"{os.getpid()} {child.pid}\\n")
child.wait()
"""


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_command_over_its_time_limit_is_killed_with_its_children(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pids = tmp_path / "pids"
    command = script(tmp_path / "hook.py", STARTS_A_CHILD) + f" '{pids}'"
    hooks = runner(tmp_path / "digits", on_best=command, timeout=1.0)
    hooks.note("ab12", 0.5, 1)
    finish(hooks, tmp_path)
    assert f"{sys.executable}: not done after 1 s" in capsys.readouterr().out
    for pid in map(int, pids.read_text().split()):
        wait_until(lambda pid=pid: not is_running(pid))


def test_without_hooks_nothing_is_started(tmp_path: Path) -> None:
    before = threading.active_count()
    hooks = runner(tmp_path / "digits")
    hooks.note("ab12", 0.5, 1)
    assert threading.active_count() == before
    finish(hooks, tmp_path)


# ----------------------------------------------------------------------- the search file

CONFIG = {
    "dataset": {"name": "digits"},
    "model": {"name": "resnet20"},
    "training": {"epochs": 2},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}
SEARCH = {"config": CONFIG, "space": {}, "tune": {"num_samples": 1}}
URL = "HTTPS://me:pass-word@example.org/se-cret"


@pytest.mark.parametrize("hook", ["", "  ", "notify 'se-cret"])
def test_what_is_not_a_command_is_refused_without_showing_it(hook: str) -> None:
    with pytest.raises(ConfigError, match=r"hooks\.on_best.*must be a command") as caught:
        parse_search({**SEARCH, "hooks": {"on_best": hook}})
    assert "se-cret" not in str(caught.value)


def test_a_url_is_refused_with_the_command_to_write_instead() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_search({**SEARCH, "hooks": {"on_finish": URL}})
    (problem,) = caught.value.problems
    assert problem.key == "hooks.on_finish"
    assert problem.rule == (
        "must be a command, found a URL; URLs are no longer called, write this command instead: "
        "curl -fsS -H Content-Type:application/json -d @- URL"
    )


def test_a_recorded_sweep_with_a_url_is_read_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = FakeSweep(tmp_path / "experiments" / "digits").write()
    spec, _ = open_sweep(directory)
    hooks = {"on_best": "notify", "on_finish": URL, "timeout": 5.0}
    SweepLayout(directory).search_file.write_text(dump_yaml({**spec.to_dict(), "hooks": hooks}))
    spec, _ = open_sweep(directory)
    assert spec.hooks == Hooks(on_best="notify", timeout=5.0)
    (message,) = caplog.messages
    assert message.startswith("note: hooks.on_finish was a URL; URLs are no longer called")


def test_hooks_may_be_changed_when_a_sweep_is_resumed(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "experiments" / "digits").write()
    spec, _ = open_sweep(directory)
    assert spec.hooks == Hooks()
    edited = tmp_path / "search.yaml"
    edited.write_text(dump_yaml({**spec.to_dict(), "hooks": {"on_best": "notify"}}))
    assert merge_edited(spec, edited, directory).hooks == Hooks(on_best="notify")
