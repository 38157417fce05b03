"""Ray dies after the last trial has ended, while the driver waits for an answer of Ray."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.crash.session import ROOT, Session
from tests.integration.commands import invoke
from tests.integration.sweeping import epochs, search
from trainable.config.yaml_reader import dump_yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCRIPT = """\
import pathlib, time
import ray
from sweeps.cli.main import main
from sweeps.execution.tune_run import TuneRun

fit = TuneRun._fit

def fit_and_wait(run):
    fit(run)
    never = ray.remote(num_cpus=0)(lambda: time.sleep(1e6)).remote()
    pathlib.Path("waiting").touch()
    return ray.get(never)

TuneRun._fit = fit_and_wait
main()
"""
TIMEOUT_S = 240


def test_a_driver_that_waits_for_a_dead_ray_is_paused_and_a_resume_writes_the_tables(
    tmp_path: Path,
) -> None:
    space = {"optimizer.learning_rate": {"loguniform": [0.01, 1.0]}}
    spec = search(tmp_path, space=space, tune={"num_samples": 1})
    (tmp_path / "search.yaml").write_text(dump_yaml(spec.to_dict()))
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py", "run", "search.yaml", "--allow-custom-model"]
    environment = {"PYTHONPATH": str(ROOT / "tests" / "support"), "RAY_TMPDIR": "/tmp"}
    session = Session(command, tmp_path / "log", environment)
    sweep = tmp_path / "sweep"
    try:
        assert session.wait((tmp_path / "waiting").exists, TIMEOUT_S)
        assert session.exit_code is None, (tmp_path / "log").read_text()
        (gcs,) = session.find("gcs_server")
        os.kill(gcs, signal.SIGKILL)
        session.wait(lambda: False, TIMEOUT_S)
        assert session.exit_code == 4, (tmp_path / "log").read_text()
    finally:
        session.kill_all()
    record = json.loads((sweep / "sweep.json").read_text())
    assert (record["state"], record["reason"]) == ("paused", "ray_died")
    assert record["trials"] == {"finished": 1}
    assert not (sweep / "trials.csv").exists()
    last = (tmp_path / "log").read_text().splitlines()[-1]
    assert last.endswith("sweep resume sweep --allow-custom-model")

    done = invoke("resume", sweep, "--allow-custom-model")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "concurrent" not in done.stdout, "Ray has been started"
    assert (sweep / "trials.csv").exists()
    assert (sweep / "best_config.yaml").exists()
    assert json.loads((sweep / "sweep.json").read_text())["state"] == "finished"
    assert epochs(sweep) == {0: [1, 2, 3, 4]}
