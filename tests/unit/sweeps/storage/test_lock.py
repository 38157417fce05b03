"""One process at a time runs a sweep, and a killed one lets go of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.storage.lock import SweepRunningError, is_running, sole_owner
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import SweepRecord

HOLDS = """
import sys, time
from pathlib import Path
from sweeps.storage.lock import sole_owner
with sole_owner(Path(sys.argv[1])):
    print("holding", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    record = SweepRecord("digits", "running", "now", pid=4711, host="some-host")
    SweepLayout(tmp_path).write_sweep(record)
    return tmp_path


def test_a_second_owner_is_told_who_the_first_is_and_how_to_pause_it(sweep: Path) -> None:
    with sole_owner(sweep), pytest.raises(SweepRunningError) as caught, sole_owner(sweep):
        pass
    assert str(caught.value) == (
        f"{sweep} is being run by process 4711 on some-host; to pause it: sweep stop {sweep}"
    )


def test_an_owner_that_is_not_on_record_yet_is_another_process(sweep: Path) -> None:
    SweepLayout(sweep).write_sweep(SweepRecord("digits", "paused", "now"))
    with (
        sole_owner(sweep),
        pytest.raises(SweepRunningError, match="is being run by another process; "),
        sole_owner(sweep),
    ):
        pass


def test_a_sweep_is_running_while_it_is_held(sweep: Path) -> None:
    assert not is_running(sweep)
    with sole_owner(sweep):
        assert is_running(sweep)
        assert is_running(sweep)
    assert not is_running(sweep)


def test_it_is_let_go_of_when_its_holder_fails(sweep: Path) -> None:
    with pytest.raises(ZeroDivisionError), sole_owner(sweep):
        raise ZeroDivisionError
    with sole_owner(sweep):
        assert is_running(sweep)


def test_a_killed_process_lets_go(sweep: Path, project_environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(sweep)],
        env=project_environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "holding\n"
        assert is_running(sweep)
    finally:
        process.kill()
        process.wait()
    assert not is_running(sweep)
    with sole_owner(sweep):
        assert (sweep / ".lock").exists()


def test_a_directory_that_cannot_be_written_is_no_running_sweep(sweep: Path) -> None:
    (sweep / ".lock").mkdir()
    for ask in (is_running, lambda directory: sole_owner(directory).__enter__()):
        with pytest.raises(SweepError) as caught:
            ask(sweep)
        assert not isinstance(caught.value, SweepRunningError)
        assert str(caught.value).startswith(f"{sweep}: cannot be written to: ")
