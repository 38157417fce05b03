"""The recorded environment of a sweep."""

import platform
import subprocess
from pathlib import Path

import pytest

from sweeps.execution.environment import describe_environment, start_describing


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("one")
    settings = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for command in (["init", "-q"], ["add", "file"], [*settings, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *command], check=True)
    return tmp_path


def test_the_git_state_of_the_working_directory_is_described(repository: Path) -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    clean = describe_environment()
    assert (clean["git commit"], clean["git state"]) == (commit, "clean")
    (repository / "file").write_text("two")
    assert describe_environment()["git state"] == "files changed since: 1"


def test_without_a_repository_and_tools_there_is_still_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    environment = describe_environment()
    assert environment["python"] == platform.python_version()
    assert not {"git commit", "git state", "gpus"} & set(environment)
    assert all(isinstance(text, str) and text for text in environment.values())


def test_the_description_from_a_thread_is_the_same(repository: Path) -> None:
    wait = start_describing()
    assert wait() == describe_environment()
