"""The lock on a sweep: one driver at a time, released when the driver dies."""

import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.storage.lock import is_running, sweep_lock
from sweeps.sweep_dir.errors import SweepError, SweepRunningError
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import SweepRecord

HOLD_LOCK = """
import sys, time
from pathlib import Path
from sweeps.storage.lock import sweep_lock
with sweep_lock(Path(sys.argv[1])):
    print("holding", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    record = SweepRecord("digits", "running", "now", pid=4711, host="some-host")
    SweepLayout(tmp_path).write_sweep(record)
    return tmp_path


def test_the_error_names_the_running_driver_and_how_to_pause_it(sweep: Path) -> None:
    with sweep_lock(sweep), pytest.raises(SweepRunningError) as caught, sweep_lock(sweep):
        pass
    assert str(caught.value) == (
        f"{sweep} is being run by process 4711 on some-host; to pause it: sweep pause {sweep}"
    )


def test_a_driver_that_is_not_recorded_yet_is_called_another_process(sweep: Path) -> None:
    SweepLayout(sweep).write_sweep(SweepRecord("digits", "paused", "now"))
    with (
        sweep_lock(sweep),
        pytest.raises(SweepRunningError, match="is being run by another process; "),
        sweep_lock(sweep),
    ):
        pass


def test_a_sweep_is_running_while_its_lock_is_held(sweep: Path) -> None:
    assert not is_running(sweep)
    with sweep_lock(sweep):
        assert is_running(sweep)
        assert is_running(sweep)
    assert not is_running(sweep)


def test_the_lock_is_released_when_its_holder_fails(sweep: Path) -> None:
    with pytest.raises(ZeroDivisionError), sweep_lock(sweep):
        raise ZeroDivisionError
    with sweep_lock(sweep):
        assert is_running(sweep)


def test_the_lock_is_released_when_its_holder_is_killed(
    sweep: Path, project_environment: dict[str, str]
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(sweep)],
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
    with sweep_lock(sweep):
        assert (sweep / ".lock").exists()


def test_a_directory_that_is_not_writable_does_not_count_as_running(sweep: Path) -> None:
    (sweep / ".lock").mkdir()
    for check in (is_running, lambda directory: sweep_lock(directory).__enter__()):
        with pytest.raises(SweepError) as caught:
            check(sweep)
        assert not isinstance(caught.value, SweepRunningError)
        assert str(caught.value).startswith(f"{sweep}: cannot be written to: ")
