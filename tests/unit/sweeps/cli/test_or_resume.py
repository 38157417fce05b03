"""`sweep run --or-resume`: one command that starts a sweep and goes on with it."""

from pathlib import Path
from typing import Any

import pytest

from sweeps.execution import launch
from sweeps.sweep_dir.errors import SweepError
from tests.integration.commands import invoke
from tests.support.fake_sweeps import FakeSweep


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What would have been launched; it ends there as if Ray had refused."""
    found: list[tuple[str, Any]] = []

    def start(spec: Any, **how: Any) -> None:
        found.append(("start", how["address"]))
        raise SweepError("no Ray here")

    def resume(spec: Any, directory: Path, records: Any, **how: Any) -> None:
        found.append((f"resume {directory.name} to {spec.tune.num_samples}", how["address"]))
        raise SweepError("no Ray here")

    monkeypatch.setattr(launch, "start_sweep", start)
    monkeypatch.setattr(launch, "resume_sweep", resume)
    return found


def test_it_starts_a_sweep_and_then_goes_on_with_it(
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


def test_without_it_a_sweep_that_is_there_is_not_touched(
    tmp_path: Path, launched: list[tuple[str, Any]]
) -> None:
    there = FakeSweep(tmp_path / "mine", state="paused").write()
    invoke("run", there / "search.yaml")
    assert launched == [("start", None)]  # which refuses the directory


def test_it_needs_a_name_to_find_the_sweep_by(
    tmp_path: Path, launched: list[tuple[str, Any]]
) -> None:
    there = FakeSweep(tmp_path / "mine").write()
    result = invoke("run", there / "search.yaml", "--or-resume", "--set", 'name=""')
    assert result.exit_code == 2
    assert "--or-resume needs the sweep's name in the search file" in result.stderr
    assert launched == []
