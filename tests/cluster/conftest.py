"""A real Ray cluster on this machine: two nodes of one CPU, with ports and a token of their own.

The tests talk to it as a user does, by commands in processes of their own.
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
PATIENCE_S = 240
HAS_JOBS = find_spec("aiohttp_cors") is not None
"""Whether Ray's job server is installed."""
STORE = 80 * 2**20

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
    """The cluster: its addresses, and ways to lose and to add a node.

    Each node is a `ray start` with its children, in a session of its own.
    """

    address: str
    http: str
    second: subprocess.Popen[bytes] | None = None

    def lose_the_second(self) -> None:
        """Kills all processes of a node, as a machine that goes away; waits until it is missed."""
        assert self.second is not None
        self.lose(self.second)

    def lose(self, node: subprocess.Popen[bytes]) -> None:
        """The same of any node."""
        alive = self.alive()
        for process in _with_descendants(node.pid):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        node.wait(PATIENCE_S)
        wait_for(lambda: self.alive() == alive - 1)

    @contextmanager
    def one_more(self, *before: str) -> Iterator[subprocess.Popen[bytes]]:
        """A further node, started by a command that runs what follows it."""
        alive = self.alive()
        with _node(*before, "--address", self.address) as process:
            wait_for(lambda: self.alive() == alive + 1)
            yield process

    @contextmanager
    def one_with_its_own_disk(self, hidden: Path) -> Iterator[subprocess.Popen[bytes]]:
        """A further node, which has something else where the others have a directory."""
        mount = f'mount -t tmpfs none "{hidden}" && exec "$@"'
        alive = self.alive()
        with self.one_more("unshare", "--mount", "bash", "-c", mount, "bash") as process:
            yield process
        wait_for(lambda: self.alive() == alive)

    def alive(self) -> int:
        """How many nodes there are; asked in a process of its own, with the cluster's token."""
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
def _node(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A node of one CPU; `words` are what it is started by, then options of `ray start`."""
    split = next(i for i, word in enumerate(words) if word.startswith("--") and word != "--mount")
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
    start += [f"--object-store-memory={STORE}", "--min-worker-port=0", "--max-worker-port=0"]
    agent = ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "metrics-export-port")
    start += [f"--{name}={_free_port()}" for name in agent]
    # A directory of its own, as on a machine of its own: in a common one a node unpacks the code
    # over that of the other. Short, because sockets lie there.
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
            process.send_signal(signal.SIGTERM)  # it drains and ends its children
            process.wait(PATIENCE_S)


def _with_descendants(pid: int) -> set[int]:
    """A process of ours and all that it has started, which have groups of their own."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    parents = dict(map(int, line.split()) for line in listed.stdout.splitlines())
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it has not come to that"
        time.sleep(0.2)


def command(*words: object) -> list[str]:
    """The `sweep` command of this checkout, from any directory."""
    start = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from sweeps.cli.main import main; main()"
    )
    return [sys.executable, "-c", start, *map(str, words)]


def sweep(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), cwd=cwd, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's directory: a search file and a model of their own; `shared` is for sweeps.

    As long as there is `slow` a step takes a second.
    """
    place = tmp_path / "project"
    place.mkdir()
    (tmp_path / "shared").mkdir()
    (place / "search.yaml").write_text(SEARCH.replace("DIR", str(tmp_path / "shared")))
    (tmp_path / "slow").touch()
    models = MODELS.replace("SEEN", str(tmp_path / "seen")).replace("SLOW", str(tmp_path / "slow"))
    (place / "slow_models.py").write_text(models)
    return place


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    python = str(Path(sys.executable).parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # `python` of a job is the one on the head's path.
        patch.setenv("PATH", os.pathsep.join([python, os.environ["PATH"]]))
        port, client, dashboard = _free_port(), _free_port(), _free_port()
        found = Nodes(f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}")
        head = ["--head", f"--port={port}", f"--ray-client-server-port={client}"]
        head += [f"--include-dashboard={HAS_JOBS}", f"--dashboard-port={dashboard}"]
        with _node(*head, "--node-ip-address=127.0.0.1"):
            wait_for(lambda: found.alive() == 1)
            with found.one_more() as found.second:
                yield found


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
