"""`sweep trial stop|pause|resume` and `sweep set`, without a driver."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from sweeps.cli.main import main
from sweeps.steering import client
from sweeps.steering.request import read_requests
from sweeps.storage.lock import sweep_lock
from sweeps.sweep_dir.layout import SweepLayout
from tests.support.fake_sweeps import FakeSweep, sweep


@pytest.fixture(name="directory")
def write_sweep(tmp_path: Path) -> Path:
    states = {0: "finished", 1: "paused"}
    fake = FakeSweep(tmp_path / "sweep", 2, state="paused", tune={}, states=states)  # type: ignore[arg-type]
    return fake.write()


def test_a_trial_is_stopped_and_shown_so(directory: Path) -> None:
    assert sweep("trial", "stop", directory, "0001").output == "trial 0001aaaa is stopped\n"
    assert "trial 0001aaaa, number 1: stopped by hand" in sweep("show", directory, "0001").output
    assert "1 trial ended by hand: 0001aaaa" in sweep("status", directory).output
    again = sweep("trial", "stop", directory, "0001", code=2)
    assert "stop is refused: trial 0001aaaa has ended already" in again.output


def test_the_command_that_lets_a_paused_trial_go_on_works_as_printed(directory: Path) -> None:
    output = sweep("trial", "pause", directory, "0001").output
    assert output.startswith("trial 0001aaaa is paused\n")
    assert "number 1: paused by hand" in sweep("show", directory, "0001").output
    shown = sweep("status", directory).output
    for text in (output, shown):
        (command,) = re.findall(r"sweep (trial resume .+)", text)
    assert "goes on with the sweep: " in sweep(*shlex.split(command)).output
    assert not SweepLayout(directory).read_trials()[1].held


def test_settings_are_printed_with_the_values_before(directory: Path) -> None:
    output = sweep("set", directory, "tune.num_samples=9", "tune.target=0.9").output
    assert "tune.num_samples: 2 -> 9\ntune.target: - -> 0.9\n" in output
    assert re.search(r"in effect with the next run: \S*sweep resume ", output)
    refused = sweep("set", directory, "resources.cpu=2", code=2).output
    assert "resources.cpu: takes effect with a new run" in refused


def test_without_waiting_the_id_is_printed(directory: Path) -> None:
    with sweep_lock(directory):
        output = sweep("trial", "stop", directory, "0001", "--no-wait").output
    (waiting,) = read_requests(directory)
    assert output == f"request {waiting.id} is sent\n"


@pytest.mark.parametrize(("taken", "text"), [(False, "is withdrawn"), (True, "has taken")])
def test_an_interrupt_withdraws_the_request(
    taken: bool, text: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: object) -> None:
        for waiting in read_requests(directory) if taken else []:
            waiting.remove()
        raise KeyboardInterrupt

    monkeypatch.setattr(client, "wait_for", interrupt)
    result = CliRunner().invoke(main, ["trial", "stop", str(directory), "0001"])
    assert result.exit_code == 130
    assert text in result.output
    assert read_requests(directory) == []
