"""A real Ray cluster on this machine: two nodes of one CPU, with their own ports and token.

The tests use it like a user, by commands in separate processes.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 240
HAS_JOBS = find_spec("aiohttp_cors") is not None
"""Whether Ray's job server is installed."""
OBJECT_STORE_BYTES = 80 * 2**20

SEARCH = """\
name: sweep
config:
  dataset: {name: digits, val_split: 0.2}
  model: {name: "slow_models:mlp"}
  training: {epochs: 12, batch_size: 512}
  optimizer: {name: sgd, learning_rate: 0.1}
  seed: {enabled: true}
  progress: {enabled: false}
  checkpoint: {enabled: true, dir: DIR, save_frequency: 2}
space:
  optimizer.learning_rate: {loguniform: [0.01, 1.0]}
tune: {num_samples: 3, seed: 1}
failure: {max_retries: 0}
keep: {min_free_gib: 0}
"""

MODELS = """\
import time
from pathlib import Path

from torch import nn

import trainable

with Path("SEEN").open("a") as seen:
    seen.write(trainable.__file__ + "\\n")


class Slow(nn.Sequential):
    def forward(self, images):
        time.sleep(Path("SLOW").exists())
        return super().forward(images)


def mlp(num_classes, in_channels):
    return Slow(nn.Flatten(), nn.Linear(in_channels * 64, num_classes))
"""


@dataclass
class Nodes:
    """The cluster: its addresses, and methods that kill and add nodes.

    Each node is a `ray start` with its children, in its own session.
    """

    address: str
    http: str
    second: subprocess.Popen[bytes] | None = None

    def kill_second(self) -> None:
        """Kills the second node."""
        assert self.second is not None
        self.kill(self.second)

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """Kills all processes of a node, like a lost machine, and waits until Ray notices."""
        alive = self.alive()
        for process in _list_descendants(node.pid):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        node.wait(TIMEOUT_S)
        wait_for(lambda: self.alive() == alive - 1)

    @contextmanager
    def add(self, *before: str) -> Iterator[subprocess.Popen[bytes]]:
        """Adds a node; `before` is a command that runs the rest of its arguments."""
        alive = self.alive()
        with _run_node(*before, "--address", self.address) as process:
            wait_for(lambda: self.alive() == alive + 1)
            yield process

    @contextmanager
    def add_with_own_disk(self, hidden: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Adds a node on whose disk a directory of the others is another, empty one."""
        mount = f'mount -t tmpfs none "{hidden}" && exec "$@"'
        alive = self.alive()
        with self.add("unshare", "--mount", "bash", "-c", mount, "bash") as process:
            yield process
        wait_for(lambda: self.alive() == alive)

    def alive(self) -> int:
        """Returns the number of nodes; a separate process asks, with the cluster's token."""
        done = subprocess.run(
            [sys.executable, "-c", COUNT, self.address],
            capture_output=True,
            text=True,
            check=False,
        )
        return int(done.stdout or 0)


COUNT = """
import sys
from ray._raylet import GcsClient

print(sum(node.state == 0 for node in GcsClient(sys.argv[1]).get_all_node_info().values()))
"""


@contextmanager
def _run_node(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a node of one CPU; `words` are a command that starts it and options of `ray start`."""
    split = next(i for i, word in enumerate(words) if word.startswith("--") and word != "--mount")
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
    start += [
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        "--min-worker-port=0",
        "--max-worker-port=0",
    ]
    agent = ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "metrics-export-port")
    start += [f"--{name}={_find_free_port()}" for name in agent]
    # Each node needs its own directory, as on its own machine: in a common one a node unpacks the
    # code over that of the other. The path is short because it contains sockets.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as own:
        process = subprocess.Popen(
            [*words[:split], *start, f"--temp-dir={own}", *words[split:]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)  # drains the node and ends its children
            process.wait(TIMEOUT_S)


def _list_descendants(pid: int) -> set[int]:
    """Returns a process and all its descendants, which have their own process groups."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    parents = dict(map(int, line.split()) for line in listed.stdout.splitlines())
    pids = {pid}
    while children := {child for child, parent in parents.items() if parent in pids} - pids:
        pids |= children
    return pids


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {TIMEOUT_S} s"
        time.sleep(0.2)


def command(*words: object) -> list[str]:
    """Returns the `sweep` command of this checkout, for any directory."""
    start = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from sweeps.cli.main import main; main()"
    )
    return [sys.executable, "-c", start, *map(str, words)]


def sweep(
    *words: object, cwd: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `sweep` as a user who has the cluster's token but has not set `RAY_AUTH_MODE`."""
    variables = {key: value for key, value in os.environ.items() if key != "RAY_AUTH_MODE"}
    return subprocess.run(
        command(*words),
        cwd=cwd,
        env={**variables, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's directory with a search file and a custom model; `shared` beside it is for sweeps.

    While the file `slow` exists, a step takes a second.
    """
    directory = tmp_path / "project"
    directory.mkdir()
    (tmp_path / "shared").mkdir()
    (directory / "search.yaml").write_text(SEARCH.replace("DIR", str(tmp_path / "shared")))
    (tmp_path / "slow").touch()
    models = MODELS.replace("SEEN", str(tmp_path / "seen")).replace("SLOW", str(tmp_path / "slow"))
    (directory / "slow_models.py").write_text(models)
    return directory


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    python = str(Path(sys.executable).parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Jobs use the `python` of the head's PATH.
        patch.setenv("PATH", os.pathsep.join([python, os.environ["PATH"]]))
        port, client, dashboard = _find_free_port(), _find_free_port(), _find_free_port()
        cluster = Nodes(f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}")
        head = ["--head", f"--port={port}", f"--ray-client-server-port={client}"]
        head += [f"--include-dashboard={HAS_JOBS}", f"--dashboard-port={dashboard}"]
        with _run_node(*head, "--node-ip-address=127.0.0.1"):
            wait_for(lambda: cluster.alive() == 1)
            with cluster.add() as cluster.second:
                yield cluster


def _find_free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
