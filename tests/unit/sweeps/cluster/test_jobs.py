"""`sweep submit` and `sweep jobs` with a fake job server."""

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.job_submission import JobStatus

from sweeps.cluster import jobs
from sweeps.spec.load import parse_search
from sweeps.spec.settings import SEEDS
from tests.integration.commands import invoke
from trainable.config.yaml_reader import parse_yaml

SERVER = ("--address", "http://head:8265")
SEARCH = """\
name: mine
config: training.yaml
space:
  optimizer.learning_rate: {loguniform: [0.01, 1.0]}
tune: {num_samples: 3}
"""
TRAINING = """\
dataset: {name: digits, val_split: 0.2}
model: {name: resnet20}
training: {epochs: 2}
optimizer: {name: sgd, learning_rate: 0.1}
checkpoint: {enabled: true, dir: /shared/experiments}
"""


class FakeClient:
    """Reads the working directory while a job is submitted, as Ray's client does."""

    sent: dict[str, Any] = {}
    status = JobStatus.RUNNING
    code: int | None = None
    metadata: dict[str, str] = {}
    start_time: int | None = 1_790_000_000_000

    def __init__(self, address: str) -> None:
        self.address = address

    def submit_job(
        self, *, entrypoint: str, runtime_env: dict[str, Any], metadata: dict[str, str]
    ) -> str:
        code = Path(runtime_env["working_dir"])
        paths = [path for path in code.rglob("*") if path.is_file()]
        files = {path.relative_to(code).as_posix(): path.read_bytes() for path in paths}
        type(self).sent = {
            "command": shlex.split(entrypoint),
            "files": files,
            "variables": runtime_env["env_vars"],
        }
        type(self).metadata = metadata
        return "raysubmit_1"

    def get_job_info(self, job: str) -> Any:
        if job != "raysubmit_1":
            raise RuntimeError(
                f"Request failed with status code 404: Job {job} does not exist.\nx"
            )
        return SimpleNamespace(
            submission_id=job,
            driver_exit_code=self.code,
            status=self.status,
            message="no reason",
            metadata=self.metadata,
            start_time=self.start_time,
            entrypoint="python mine.py",
        )

    def list_jobs(self) -> list[Any]:
        driver = SimpleNamespace(submission_id=None)
        return [self.get_job_info("raysubmit_1"), driver]

    def get_job_status(self, job: str) -> JobStatus:
        return self.status

    def get_job_logs(self, job: str) -> str:
        return "one line\n"

    def stop_job(self, job: str) -> bool:
        return self.status == JobStatus.RUNNING


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(jobs, "JobSubmissionClient", FakeClient)
    monkeypatch.setattr(FakeClient, "sent", {})
    monkeypatch.setattr(FakeClient, "metadata", {jobs.NAME: "mine", jobs.SAVES: "true"})
    monkeypatch.setattr(jobs, "show_token", lambda: None)
    monkeypatch.chdir(tmp_path)
    Path("search.yaml").write_text(SEARCH)
    Path("training.yaml").write_text(TRAINING)
    Path("my_model.py").write_text("")


def test_a_job_is_the_run_command_with_one_search_file_and_the_projects_code() -> None:
    result = invoke("submit", "search.yaml", *SERVER, "--set", "config.training.epochs=5")
    assert result.exit_code == 0, result.stderr
    assert "job raysubmit_1: sweep mine, in /shared/experiments/mine\n" in result.stdout
    assert "sweep jobs pause raysubmit_1 --address http://head:8265\n" in result.stdout
    sent = FakeClient.sent
    assert sent["command"] == ["python", "sweeps/run.py", "search.yaml", "--or-resume"]
    assert sent["files"].keys() > {
        "sweeps/run.py",
        "trainable/ray_trial/classifier.py",
        "search.yaml",
    }
    assert "my_model.py" not in sent["files"]
    data = parse_yaml(sent["files"]["search.yaml"].decode(), "sent").data
    assert "seed" not in data["tune"]  # drawn when the sweep starts
    spec = parse_search(data)
    assert (spec.name, spec.max_epochs) == ("mine", 5)
    assert sent["variables"]["RAY_JOB_STOP_SIGNAL"] == "SIGTERM"
    assert int(sent["variables"]["RAY_JOB_STOP_WAIT_TIME_S"]) > 3600


def test_a_seed_in_the_search_file_is_kept() -> None:
    invoke("submit", "search.yaml", *SERVER, "--set", f"tune.seed={SEEDS - 1}")
    data = parse_yaml(FakeClient.sent["files"]["search.yaml"].decode(), "sent").data
    assert data["tune"]["seed"] == SEEDS - 1


def test_a_custom_model_is_sent() -> None:
    result = invoke("submit", "search.yaml", *SERVER, "--allow-custom-model")
    assert result.exit_code == 0, result.stderr
    assert FakeClient.sent["command"][-1] == "--allow-custom-model"
    assert "my_model.py" in FakeClient.sent["files"]


def test_a_sweep_without_a_name_prints_the_command_that_resumes_it() -> None:
    Path("search.yaml").write_text(SEARCH.replace("name: mine\n", ""))
    out = invoke("submit", "search.yaml", *SERVER).stdout
    spec = parse_search(parse_yaml(FakeClient.sent["files"]["search.yaml"].decode(), "sent").data)
    assert spec.name.startswith("resnet20_digits_")
    assert out.endswith(f"repeat this command with --set name={spec.name}\n")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            "checkpoint.dir=./experiments",
            "checkpoint.dir ./experiments is relative, and the job's",
        ),
        ("dataset.name=mnist", "dataset.root ./data is relative, and the job's directory"),
    ],
)
def test_a_relative_path_is_refused(change: str, sentence: str) -> None:
    result = invoke("submit", "search.yaml", *SERVER, "--set", f"config.{change}")
    assert result.exit_code == 2
    assert result.stderr.startswith(sentence)
    assert f"--set config.{sentence.split()[0]}=/..." in result.stderr
    assert FakeClient.sent == {}


def test_a_package_above_the_limit_is_refused_with_its_largest_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs, "SUBMIT_LIMIT_BYTES", 3 * 2**20)
    Path("large.bin").write_bytes(bytes(4 * 2**20))
    result = invoke("submit", "search.yaml", *SERVER, "--allow-custom-model")
    assert result.exit_code == 2
    assert "Ray takes 3.0 MiB; the largest files:\n    4.0 MiB  large.bin\n" in result.stderr
    assert FakeClient.sent == {}


def refuses(error: Exception) -> Any:
    def client(address: str) -> None:
        raise error

    return client


@pytest.mark.parametrize(
    ("address", "error", "sentence"),
    [
        (
            "http://head:8265",
            RuntimeError("The Ray jobs SDK requires the ray[default] installation"),
            'jobs need an extra of Ray: pip install "tune-sweeps[cluster]"',
        ),
        ("http://head:1", ConnectionError("refused"), "no answer from a job server: refused"),
        ("head:6379", None, "give the address of the job server: http://HEAD:8265"),
    ],
)
def test_an_address_without_a_job_server_is_one_line(
    address: str, error: Exception | None, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if error is not None:
        monkeypatch.setattr(jobs, "JobSubmissionClient", refuses(error))
    for words in (("submit", "search.yaml"), ("jobs", "status", "raysubmit_1")):
        result = invoke(*words, "--address", address)
        assert result.exit_code == 2
        assert sentence in result.stderr
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("status", "code", "state"),
    [
        (JobStatus.PENDING, None, "pending"),
        (JobStatus.RUNNING, None, "running"),
        (JobStatus.SUCCEEDED, 0, "finished"),
        (JobStatus.FAILED, 1, "finished, some trials failed"),
        (JobStatus.FAILED, 3, "paused by its budget, a full disk or sweep pause"),
        (JobStatus.FAILED, 137, "failed with exit code 137; see its log"),
        (JobStatus.FAILED, None, "failed: no reason"),
        (JobStatus.STOPPED, None, "stopped; submit it again to resume the sweep"),
    ],
)
def test_the_state_of_a_job_is_printed_in_words(
    status: JobStatus, code: int | None, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeClient, "status", status)
    monkeypatch.setattr(FakeClient, "code", code)
    result = invoke("jobs", "status", "raysubmit_1", *SERVER)
    assert (result.exit_code, result.stdout) == (0, f"job raysubmit_1: {state}\n")


def test_logs_are_printed_and_stop_requests_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke("jobs", "logs", "raysubmit_1", *SERVER).stdout == "one line\n"
    assert "pausing job raysubmit_1: " in invoke("jobs", "pause", "raysubmit_1", *SERVER).stdout
    monkeypatch.setattr(FakeClient, "status", JobStatus.SUCCEEDED)
    out = invoke("jobs", "pause", "raysubmit_1", *SERVER).stdout
    assert out == "job raysubmit_1 was not running\n"


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({jobs.NAME: "mine", jobs.SAVES: "true"}, "finish their epoch and save a checkpoint\n"),
        ({jobs.NAME: "mine", jobs.SAVES: "false"}, "they begin again when the sweep is resumed\n"),
        ({}, "stopping job raysubmit_1, which `sweep submit` has not sent: python mine.py\n"),
    ],
)
def test_what_a_stopped_job_loses_is_told(
    metadata: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeClient, "metadata", metadata)
    result = invoke("jobs", "pause", "raysubmit_1", *SERVER)
    assert result.stdout.endswith(message)


def test_a_job_knows_its_sweep() -> None:
    change = ("--set", "config.checkpoint.enabled=false")
    result = invoke("submit", "search.yaml", *SERVER, *change)
    assert result.exit_code == 0, result.stderr
    assert FakeClient.metadata == {jobs.NAME: "mine", jobs.SAVES: "false"}


@pytest.mark.parametrize("words", [(), ("status",)])
def test_without_a_job_all_are_listed(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = invoke("jobs", *words, *SERVER)
    assert result.exit_code == 0, result.stderr
    heading, _, row = (line for line in result.stdout.splitlines() if line.strip())
    assert heading.split() == ["job", "sweep", "started", "state"]
    assert row.split()[:2] == ["raysubmit_1", "mine"]
    assert row.split()[-1] == "running"
    monkeypatch.setattr(FakeClient, "list_jobs", lambda self: [])
    assert invoke("jobs", *words, *SERVER).stdout == "no jobs at http://head:8265\n"


def test_the_list_needs_an_address_and_a_command_has_its_own() -> None:
    assert "Missing option '--address'" in invoke("jobs").stderr
    result = invoke("jobs", *SERVER, "status", "raysubmit_1", *SERVER)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--address belongs behind status" in result.stderr


def test_an_unknown_job_is_one_line() -> None:
    result = invoke("jobs", "status", "raysubmit_2", *SERVER)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("job raysubmit_2: ")
    assert "does not exist" in line
