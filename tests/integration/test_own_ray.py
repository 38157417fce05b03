"""A Ray that a sweep starts: only this machine can reach it, and it ends with the sweep."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's /proc"),
]

ROOT = Path(__file__).parents[2]

SCRIPT = """
import json, os, pathlib, time
import ray
from sweeps.cluster.lifetime import sole_sweep
from sweeps.cluster.session import start_ray

use = sole_sweep()
use.__enter__()
start_ray()
ray.get(ray.remote(lambda: None).remote())  # starts a worker, which listens, too
parents = {}
for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
    try:
        parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:  # the process has just ended
        pass

def is_alive(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"

own = {os.getpid()}
while children := {pid for pid, parent in parents.items() if parent in own} - own:
    own |= children
sockets = set()
for pid in own:
    for entry in pathlib.Path(f"/proc/{pid}/fd").glob("*"):
        try:
            sockets.add(os.readlink(entry))
        except OSError:
            pass
hosts = []
for table in ("tcp", "tcp6"):
    for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
        words = line.split()
        if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
            hosts.append(words[1].partition(":")[0])
report = {"hosts": hosts, "auth": os.environ.get("RAY_AUTH_MODE")}
use.__exit__(None, None, None)
report["initialized"] = ray.is_initialized()
while any(is_alive(pid) for pid in own - {os.getpid()}):  # else the test hangs
    time.sleep(0.1)
print(json.dumps(report))
"""

ENDING = """
import os, signal, threading
from sweeps.cluster import local_ray
from sweeps.cluster.session import start_ray

start_ray()
(ray,) = local_ray._processes
os.kill(ray._process.pid, signal.SIGSTOP)  # the end of Ray takes longer than the timer
print(ray._process.pid, flush=True)
timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.{}))
timer.daemon = True  # meanwhile the process ends
timer.start()
"""

LOOPBACK = {
    "0100007F",  # 127.0.0.1
    "0000000000000000FFFF00000100007F",  # ::ffff:127.0.0.1
    "00000000000000000000000001000000",  # ::1
}


def test_a_ray_started_by_a_sweep_listens_on_loopback_needs_a_token_and_ends_with_it() -> None:
    done = run(SCRIPT)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert len(report["hosts"]) >= 4  # the control service, the raylet, the driver, a worker
    assert set(report["hosts"]) <= LOOPBACK
    assert report["auth"] == "token"  # Ray's own default
    assert not report["initialized"]


@pytest.mark.long
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_during_the_shutdown_of_ray_ends_the_process(name: str) -> None:
    done = run(ENDING.format(name))
    os.kill(int(done.stdout), signal.SIGCONT)  # Ray ends, since its driver has
    assert done.returncode == -signal.Signals[name], done.stderr
    assert "Traceback" not in done.stderr


def run(script: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
