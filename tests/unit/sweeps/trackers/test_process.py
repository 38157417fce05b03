"""The process of a client: its environment, and its end."""

import os
import signal

import pytest

from sweeps.trackers.process import ClientError, ClientLostError, ClientProcess, client_environment


def test_no_variable_sends_runs_elsewhere_or_reports_use(tmp_path):
    own = {
        "WANDB_API_KEY": "secret",
        "WANDB_MODE": "online",
        "MLFLOW_TRACKING_URI": "http://elsewhere",
        "TRACKIO_SPACE_ID": "me/space",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
        "PYTHONPATH": "/own",
    }
    environment = client_environment(own, tmp_path)
    assert {"WANDB_MODE", "MLFLOW_TRACKING_URI", "TRACKIO_SPACE_ID"} & environment.keys() == set()
    assert environment["WANDB_API_KEY"] == "secret"
    assert environment["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "3"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert environment["TRACKIO_DIR"] == str(tmp_path / "trackio")
    assert environment["PYTHONPATH"].endswith(f"{os.pathsep}/own")


def test_a_process_that_does_not_answer_or_has_ended_is_lost(tmp_path):
    client = ClientProcess("optuna", tmp_path)
    try:
        with pytest.raises(ClientError, match="the first message must open the sweep"):
            client.ask({"close": "paused"}, 60)
        os.kill(client._process.pid, signal.SIGSTOP)
        with pytest.raises(ClientLostError, match="it does not answer"):
            client.ask({"close": "paused"}, 0.1)
        with pytest.raises(ClientLostError, match="it does not answer"):
            client.ask({"close": "x" * 10_000_000}, 0.1)  # more than a pipe holds
        client.kill()  # as another thread does
        with pytest.raises(ClientLostError, match="has ended with exit code -9"):
            client.ask({"close": "paused"}, 60)
    finally:
        client.close()
