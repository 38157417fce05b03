"""Sweeps on machines on which Ray by itself does not start: another user, limits, full disks.

Each runs the command as a user does, in a process of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.small_disks import small_disk

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "sweeps.cli", "run", "search.yaml", "--allow-custom-model"]
LINUX = pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads Linux's /proc")
AS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None or shutil.which("unshare") is None,
    reason="acts as another user, mounts file systems",
)

OTHER_USER = 54321
"""A user without an entry in the system's list, as containers have them (`docker run -u`)."""
AS_OTHER_USER = [
    "setpriv",
    f"--reuid={OTHER_USER}",
    f"--regid={OTHER_USER}",
    "--clear-groups",
    # Reads all files, for a Python or a checkout in a directory of root's.
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
    "--bounding-set=-all,+dac_read_search",
]

SEARCH = """\
name: sweep
config:
  dataset: {name: digits, val_split: 0.2}
  model: {name: "tiny:mlp"}
  training: {epochs: 1, batch_size: 512}
  optimizer: {name: sgd, learning_rate: 0.1}
  progress: {enabled: false}
  checkpoint: {enabled: true, dir: out}
space:
  optimizer.learning_rate: {loguniform: [0.01, 1.0]}
tune: {num_samples: 1, seed: 1}
keep: {min_free_gib: 0}
"""

MODEL = """\
from torch import nn

def mlp(num_classes, in_channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * 64, num_classes))
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A user's directory with a short path, which every user can use."""
    home = Path("/tmp") / f"odd-{os.getpid()}"
    home.mkdir()
    home.chmod(0o777)
    (home / "search.yaml").write_text(SEARCH)
    (home / "tiny.py").write_text(MODEL)
    yield home
    shutil.rmtree(home, ignore_errors=True)


def run(
    home: Path, *before: str, limits: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs the sweep.

    Args:
        home: The working directory.
        before: A command that runs the rest of its arguments.
        limits: Options of `ulimit`.
        variables: Environment variables beside the usual ones.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "400",
        **variables,
    }
    words = [*before, *COMMAND]
    if limits:
        words = ["bash", "-c", f'ulimit {limits} && exec "$@"', "bash", *words]
    return subprocess.run(
        words, cwd=home, env=environment, capture_output=True, text=True, check=False
    )


def assert_finished(done: subprocess.CompletedProcess[str], home: Path) -> None:
    assert done.returncode == 0, done.stderr
    assert (home / "out" / "sweep" / "trials.csv").exists()
    assert "1/1  trial" in done.stdout


def assert_refused(done: subprocess.CompletedProcess[str], home: Path) -> str:
    """Returns the sentence of a refusal, which has created nothing."""
    assert done.returncode == 2, done.stderr
    (sentence,) = done.stderr.splitlines()
    assert not (home / "out").exists()
    return sentence


@contextmanager
def folder_of_root() -> Iterator[None]:
    """Has a `ray` folder in /tmp that belongs to root, as a sweep of root's leaves it."""
    folder = Path("/tmp/ray")
    created = not folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        assert folder.stat().st_uid == 0
        yield
    finally:
        if created:
            shutil.rmtree(folder)


@AS_ROOT
def test_a_user_without_a_home_beside_another_users_ray_folder(home: Path) -> None:
    with folder_of_root():
        done = run(home, *AS_OTHER_USER, HOME="/")
    assert_finished(done, home)
    own = Path(f"/tmp/ray-{OTHER_USER}")
    assert f"note: Ray's own files are in {own}: /tmp/ray belongs to another user" in done.stdout
    assert own.stat().st_uid == OTHER_USER
    shutil.rmtree(own)


def test_a_long_path_of_temporary_files_is_replaced_and_no_token_is_left(home: Path) -> None:
    long = home / ("temporary-" * 6)
    long.mkdir()
    done = run(home, TMPDIR=str(long))
    assert_finished(done, home)
    assert f"{long}/ray has more than 43 characters, too many for Ray's sockets" in done.stdout
    assert not (home / ".ray").exists()


@AS_ROOT
def test_a_full_disk_for_temporary_files_is_replaced_or_named(home: Path) -> None:
    with small_disk(home / "full", mib=1) as full:
        (full / "filler").write_bytes(bytes(900 * 2**10))
        done = run(home, TMPDIR=str(full))
        assert_finished(done, home)
        assert f"{full}/ray has no space" in done.stdout
        shutil.rmtree(home / "out")
        read_only = " && ".join(
            f"mount --bind {path} {path} && mount -o remount,bind,ro {path}"
            for path in ("/var/tmp", "/tmp")
        )
        own = f"mount --bind {home} {home} && mount -o remount,bind,rw {home} && cd {home}"
        words = ("unshare", "--mount", "bash", "-c", f'{read_only} && {own} && exec "$@"', "bash")
        sentence = assert_refused(run(home, *words, TMPDIR="/tmp"), home)
    assert (
        "Ray cannot start on this machine: it has no directory for its files: /tmp/ray" in sentence
    )
    assert "/var/tmp/ray-0 cannot be written: Read-only file system" in sentence
    assert sentence.endswith("(set RAY_TMPDIR to a directory with a short path)")


def test_too_few_open_files_are_refused(home: Path) -> None:
    sentence = assert_refused(run(home, limits="-n 64"), home)
    assert "the limit of open files is 64, Ray needs " in sentence
    assert "(raise it: ulimit -n " in sentence


def test_too_little_address_space_is_refused(home: Path) -> None:
    sentence = assert_refused(run(home, limits=f"-v {3 * 2**20}"), home)
    assert "the limit of address space in KiB is 3145728, Ray needs 8388608" in sentence
    assert "(raise it: ulimit -v unlimited)" in sentence


def test_the_least_address_space_is_enough(home: Path) -> None:
    assert_finished(run(home, limits=f"-v {8 * 2**20}"), home)


@AS_ROOT
def test_too_few_processes_are_refused(home: Path) -> None:
    words = ("bash", "-c", 'ulimit -u 100 && exec "$@"', "bash")
    sentence = assert_refused(run(home, *AS_OTHER_USER, *words), home)
    assert "the limit of processes and threads is 100, Ray needs " in sentence


def test_an_address_left_over_in_the_environment_is_named(home: Path) -> None:
    sentence = assert_refused(run(home, RAY_ADDRESS="127.0.0.1:9"), home)
    assert sentence == (
        "RAY_ADDRESS=127.0.0.1:9 in the environment: cannot be joined: Connection refused; "
        "to run the sweep on this machine: unset RAY_ADDRESS"
    )


@LINUX
def test_a_start_that_times_out_is_tried_once_more(home: Path) -> None:
    """The first control service is stopped, as on a machine without a free CPU."""
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT), "TMPDIR": str(home)}
    environment["RAY_gcs_server_port_wait_time_s"] = "5"
    driver = subprocess.Popen(
        COMMAND, cwd=home, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        stop_control_service(driver, home)
        output = driver.communicate()[0]
    finally:
        driver.kill()
    assert driver.returncode == 0
    assert "note: Ray did not start in time; starting it once more" in output
    assert "1/1  trial" in output


def stop_control_service(driver: subprocess.Popen[str], directory: Path) -> None:
    """Stops the first control service with its files in a directory, before it is ready."""
    while driver.poll() is None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes()
            except OSError:
                continue  # it has ended
            if b"gcs_server" in words.partition(b"\0")[0] and str(directory).encode() in words:
                os.kill(int(path.parent.name), signal.SIGSTOP)
                return
        time.sleep(0.001)
