"""`sweep gc`: what goes, and what never does."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sweeps.cli.main import main
from sweeps.storage.lock import sweep_lock
from tests.support.fake_sweeps import FakeSweep


def gc(directory: Path, *options: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["gc", str(directory), *options])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def kinds(directory: Path, *options: str) -> dict[str, str]:
    """Path from the sweep's directory -> why it goes."""
    found: dict[str, Any] = json.loads(gc(directory, "--json", *options).stdout)
    return {str(Path(e["path"]).relative_to(directory)): e["kind"] for e in found["paths"]}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Twelve trials of which the best two keep their weights; trial 5 is paused."""
    made = FakeSweep(
        tmp_path / "sweep", keep={"trials": "top 2"}, states={5: "paused"}, state="paused"
    ).write()
    (made / "tuner.pkl").write_bytes(b"pickle")
    (made / ".sweep.json.0123456789ab.tmp").write_bytes(b"half")
    for trial in (path.parent for path in made.glob("*/trial.json")):
        (trial / "result.json").write_text("{}")
        (trial / "checkpoint_000003").mkdir()
        os.link(trial / "checkpoints" / "latest.pt", trial / "checkpoint_000003" / "checkpoint.pt")
    return made


def test_a_dry_run_says_what_would_go_and_deletes_nothing(directory: Path) -> None:
    before = sorted(directory.rglob("*"))
    found = kinds(directory, "--dry-run")
    text = gc(directory, "--dry-run").stdout
    assert sorted(directory.rglob("*")) == before
    assert found["tuner.pkl"] == "tune"
    assert found[".sweep.json.0123456789ab.tmp"] == "temporary"
    assert "1 temporary files" in text
    assert all(Path(name).name in text for name in found)


def test_the_weights_of_the_best_stay(directory: Path) -> None:
    ranked = json.loads(
        CliRunner().invoke(main, ["export", str(directory), "--format", "json"]).stdout
    )
    ended = [row["directory"] for row in ranked if row["state"] != "paused"]
    gc(directory)
    kept = {path.parts[-3] for path in directory.glob("*/checkpoints/best.pt")}
    paused = next(row["directory"] for row in ranked if row["state"] == "paused")
    assert kept == {*ended[:2], paused}


def test_a_trial_that_has_not_ended_keeps_all_it_has(directory: Path) -> None:
    (paused,) = directory.glob("*_0005aaaa")
    before = sorted(paused.rglob("*"))
    gc(directory)
    assert sorted(paused.rglob("*")) == before


def test_what_a_sweep_is_read_from_stays(directory: Path) -> None:
    gc(directory)
    assert {path.name for path in directory.iterdir() if path.is_file()} == {
        ".lock",
        "search.yaml",
        "sweep.json",
    }
    for name in ("trial.json", "metrics.jsonl", "config.yaml"):
        assert len(list(directory.glob(f"*/{name}"))) == 12
    assert "nothing to delete" in gc(directory).stdout


def test_only_room_that_is_really_freed_is_counted(directory: Path) -> None:
    """Tune's file and `latest.pt` are one; of the trials that keep theirs no byte is freed."""
    found = json.loads(gc(directory, "--json").stdout)
    weights, results, lost = len(b"weights"), 2 * 11, 9
    assert found["bytes"] == lost * 2 * weights + results + len(b"pickle") + len(b"half")


def test_a_running_sweep_is_left_alone(directory: Path) -> None:
    before = sorted(directory.rglob("*"))
    with sweep_lock(directory):
        assert "is being run by" in gc(directory, code=2).stderr
        assert kinds(directory, "--dry-run")["tuner.pkl"] == "tune"
    assert [path for path in sorted(directory.rglob("*")) if path.name != ".lock"] == before
