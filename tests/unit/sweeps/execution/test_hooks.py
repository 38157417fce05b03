"""Hooks with real processes and a real server: what they get, and that they cannot do any harm."""

import base64
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeps.execution.hooks import HookRunner, masked, post
from sweeps.execution.resume import merged
from sweeps.results.stored_spec import open_sweep
from sweeps.results.trial_results import read_results
from sweeps.spec.load import parse_search
from sweeps.spec.settings import Hooks, Mode
from sweeps.sweep_dir.layout import SweepLayout
from tests.support.fake_sweeps import FakeSweep
from tests.support.hook_server import Server
from trainable.config.yaml_reader import dump_yaml
from trainable.errors import ConfigError


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Server()
    yield made
    made.close()


def script(path: Path, text: str) -> str:
    """The command that runs a Python script."""
    path.write_text(text)
    return f"{sys.executable} '{path}'"


KEEP = """
import json, os, sys
kept = {name: os.environ[name] for name in os.environ if name.startswith("SWEEP_")}
with open(sys.argv[1], "a") as file:
    file.write(json.dumps([json.load(sys.stdin), kept]) + "\\n")
"""


@pytest.fixture
def keeping(tmp_path: Path) -> tuple[str, Callable[[], list[Any]]]:
    """A command that keeps what it is told, and what it has kept."""
    kept = tmp_path / "kept file"
    command = script(tmp_path / "hook.py", KEEP) + f" '{kept}'"
    return command, lambda: [json.loads(line) for line in kept.read_text().splitlines()]


def runner(
    directory: Path, mode: Mode = "max", before: list[float] | None = None, **hooks: Any
) -> HookRunner:
    metric = "val_acc" if mode == "max" else "val_loss"
    return HookRunner(Hooks(**hooks), directory, metric=metric, mode=mode, before=before or [])


def finish(hooks: HookRunner, tmp_path: Path) -> Any:
    """Ends a made-up sweep; returns its best trial."""
    directory = FakeSweep(tmp_path / "experiments" / "digits", trials=4).write()
    results = read_results(directory, "val_acc", "max")
    hooks.finish(SweepLayout(directory).read_sweep(), results)
    return results[0]


def wait_until(reached: Callable[[], bool]) -> None:
    for _ in range(2000):
        if reached():
            return
        time.sleep(0.01)
    raise AssertionError("it has not come to that")


def test_a_command_gets_the_best_and_the_end(
    tmp_path: Path, keeping: tuple[str, Callable[[], list[Any]]]
) -> None:
    command, kept = keeping
    hooks = runner(tmp_path / "digits", on_best=command, on_finish=command)
    hooks.note("ab12", 0.5, 3)
    best = finish(hooks, tmp_path)
    (event, environment), (end, of_the_end) = kept()
    assert event == {
        "event": "best",
        "sweep": "digits",
        "directory": str(tmp_path / "digits"),
        "trial": "ab12",
        "metric": "val_acc",
        "value": 0.5,
        "epoch": 3,
    }
    assert environment == {
        "SWEEP_DIR": str(tmp_path / "digits"),
        "SWEEP_TRIAL": "ab12",
        "SWEEP_METRIC": "val_acc",
        "SWEEP_VALUE": "0.5",
    }
    assert (end["event"], end["state"], end["reason"]) == ("finish", "finished", None)
    assert (end["trial"], end["value"]) == (best.record.id, best.best["val_acc"])
    assert of_the_end["SWEEP_TRIAL"] == best.record.id


def test_an_end_without_any_result_has_an_empty_value(
    tmp_path: Path, keeping: tuple[str, Callable[[], list[Any]]]
) -> None:
    command, kept = keeping
    record = SweepLayout(FakeSweep(tmp_path / "sweep").write()).read_sweep()
    record.state, record.reason = "paused", "SIGINT"
    runner(tmp_path / "sweep", on_finish=command).finish(record, [])
    ((end, environment),) = kept()
    assert (end["state"], end["reason"], end["value"]) == ("paused", "SIGINT", None)
    assert (environment["SWEEP_TRIAL"], environment["SWEEP_VALUE"]) == ("", "")


@pytest.mark.parametrize(("mode", "worse", "better"), [("max", 0.3, 0.6), ("min", 0.6, 0.3)])
def test_only_a_value_that_is_better_than_all_before_is_told(
    tmp_path: Path, server: Server, mode: Mode, worse: float, better: float
) -> None:
    url = f"http://{server.host}/"
    hooks = runner(tmp_path / "digits", mode, before=[0.5, worse], on_best=url)
    for value in (None, float("nan"), worse, 0.5):
        hooks.note("ab12", value, 1)
    assert server.asked == []
    hooks.note("ab12", better, 2)
    finish(hooks, tmp_path)
    assert [event["value"] for _, _, event in server.asked] == [better]


def test_while_a_hook_runs_only_the_newest_best_waits(tmp_path: Path, server: Server) -> None:
    hooks = runner(tmp_path / "digits", on_best=f"http://{server.host}/hook?token=1")
    server.released.clear()
    hooks.note("ab12", 0.1, 1)
    wait_until(lambda: len(server.asked) == 1)
    for step in (2, 3, 4):
        hooks.note("ab12", step / 10, step)
    server.released.set()
    finish(hooks, tmp_path)
    assert [event["value"] for _, _, event in server.asked] == [0.1, 0.4]
    assert server.asked[0][0] == "/hook?token=1"
    assert server.asked[0][1]["Content-Type"] == "application/json"


def test_a_user_in_a_url_is_sent_as_basic_authentication(server: Server) -> None:
    post(f"http://me:p%40ss@{server.host}/", {"event": "best"}, 30)
    ((_, headers, event),) = server.asked
    assert headers["Authorization"] == f"Basic {base64.b64encode(b'me:p@ss').decode()}"
    assert headers["Host"] == server.host
    assert event == {"event": "best"}


SECRETS = ("se-cret", "pass-word", "to-ken")


@pytest.mark.parametrize(
    ("code", "reason"), [(500, "answered 500"), (302, "answered 302"), (307, "answered 307")]
)
def test_a_bad_answer_is_one_line_without_secrets(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str], code: int, reason: str
) -> None:
    server.code = code
    url = f"http://me:pass-word@{server.host}/se-cret?key=to-ken"
    hooks = runner(tmp_path / "digits", on_best=url, on_finish=url)
    hooks.note("ab12", 0.5, 1)
    finish(hooks, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("hooks.on_best failed")
    assert lines[1].startswith("hooks.on_finish failed")
    assert all(line.endswith(f"{server.host}: {reason}") for line in lines)
    assert not [word for word in SECRETS if word in "".join(lines)]
    assert {path for path, _, _ in server.asked} == {"/se-cret?key=to-ken"}


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        ("no-such-command-at-all --now", "No such file or directory"),
        ("sh -c 'echo one >&2; echo two >&2; exit 3'", "sh: exit code 3: two"),
        ("http://127.0.0.1:1/se-cret", "127.0.0.1:1: [Errno 111] Connection refused"),
        ("http://127.0.0.1:99999/se-cret", "127.0.0.1:99999: "),
        ("http://127.0.0.1:1/se cret?to-ken", "127.0.0.1:1: InvalidURL"),
        ("sh -c 'echo http://me:pass-word@host/se-cret >&2; exit 1'", "http://host/..."),
        ("sh -c 'kill -9 $$'", "sh: exit code -9"),
    ],
)
def test_whatever_fails_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], hook: str, reason: str
) -> None:
    finish(runner(tmp_path / "digits", on_finish=hook), tmp_path)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("hooks.on_finish failed, which is no matter to the sweep: ")
    assert reason in line
    assert not [word for word in (*SECRETS, "se cret") if word in line]


STAYING = """
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


def test_a_command_that_takes_too_long_is_killed_with_what_it_has_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pids = tmp_path / "pids"
    command = script(tmp_path / "hook.py", STAYING) + f" '{pids}'"
    hooks = runner(tmp_path / "digits", on_best=command, timeout=3.0)
    hooks.note("ab12", 0.5, 1)
    finish(hooks, tmp_path)
    assert f"{sys.executable}: not done after 3 s" in capsys.readouterr().out
    for pid in map(int, pids.read_text().split()):
        wait_until(lambda pid=pid: not is_running(pid))


def test_an_answer_that_does_not_come_is_not_waited_for(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.released.clear()
    finish(runner(tmp_path / "d", on_finish=f"http://{server.host}/", timeout=0.2), tmp_path)
    assert f"{server.host}: " in capsys.readouterr().out
    assert len(server.asked) == 1


def test_without_hooks_nothing_is_started(tmp_path: Path) -> None:
    before = threading.active_count()
    hooks = runner(tmp_path / "digits")
    hooks.note("ab12", 0.5, 1)
    assert threading.active_count() == before
    finish(hooks, tmp_path)


def test_a_masked_text_keeps_the_host_only() -> None:
    text = "at https://me:pw@host:8/a?b=c#d HTTP://other and http://x?y it failed"
    assert masked(text) == "at https://host:8/... HTTP://other/... and http://x/... it failed"


# ----------------------------------------------------------------------- the search file


@pytest.mark.parametrize("hook", ["", "  ", "notify 'se-cret", "http://", "https:///se-cret"])
def test_what_can_never_be_told_is_refused_without_showing_it(hook: str) -> None:
    config = {"dataset": {"name": "digits"}, "model": {"name": "resnet20"},
              "training": {"epochs": 2}, "optimizer": {"learning_rate": 0.1}}  # fmt: skip
    data = {"config": config, "space": {}, "tune": {"num_samples": 1}}
    with pytest.raises(ConfigError, match=r"hooks\.on_best.*must be a command") as caught:
        parse_search({**data, "hooks": {"on_best": hook}})
    assert "se-cret" not in str(caught.value)


def test_hooks_may_be_changed_when_a_sweep_goes_on(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "experiments" / "digits").write()
    spec, _ = open_sweep(directory)
    assert spec.hooks == Hooks()
    edited = tmp_path / "search.yaml"
    edited.write_text(dump_yaml({**spec.to_dict(), "hooks": {"on_best": "notify"}}))
    assert merged(spec, edited, directory).hooks == Hooks(on_best="notify")
