"""`sweep run --or-resume`: one command that starts a sweep and resumes it."""

from pathlib import Path
from typing import Any

import pytest

from sweeps.execution import launch
from sweeps.execution.run_options import RunOptions
from sweeps.sweep_dir.errors import SweepError
from tests.integration.commands import invoke
from tests.support.fake_sweeps import FakeSweep


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Collects the launches, which fail as if Ray could not start."""
    launches: list[tuple[str, Any]] = []

    def start(spec: Any, options: RunOptions) -> None:
        launches.append(("start", options.address))
        raise SweepError("no Ray here")

    def resume(spec: Any, directory: Path, records: Any, options: RunOptions) -> None:
        launches.append((f"resume {directory.name} to {spec.tune.num_samples}", options.address))
        raise SweepError("no Ray here")

    monkeypatch.setattr(launch, "start_sweep", start)
    monkeypatch.setattr(launch, "resume_sweep", resume)
    return launches


def test_it_starts_a_sweep_and_then_resumes_it(
    tmp_path: Path, launched: list[tuple[str, Any]]
) -> None:
    other = FakeSweep(tmp_path / "other" / "mine", state="paused", states={11: "paused"}).write()
    search = tmp_path / "search.yaml"
    search.write_text((other / "search.yaml").read_text().replace("/other", ""))
    command = ("run", search, "--or-resume", "--address", "head:6379")
    invoke(*command)
    other.rename(tmp_path / "mine")
    invoke(*command, "--set", "tune.num_samples=20")
    assert launched == [("start", "head:6379"), ("resume mine to 20", "head:6379")]


def test_without_it_an_existing_sweep_is_not_resumed(
    tmp_path: Path, launched: list[tuple[str, Any]]
) -> None:
    directory = FakeSweep(tmp_path / "mine", state="paused").write()
    invoke("run", directory / "search.yaml")
    assert launched == [("start", None)]  # start_sweep refuses the directory


def test_it_requires_a_name(tmp_path: Path, launched: list[tuple[str, Any]]) -> None:
    directory = FakeSweep(tmp_path / "mine").write()
    result = invoke("run", directory / "search.yaml", "--or-resume", "--set", 'name=""')
    assert result.exit_code == 2
    assert "--or-resume requires a name in the search file" in result.stderr
    assert launched == []
