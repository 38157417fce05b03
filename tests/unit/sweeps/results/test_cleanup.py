"""`sweep gc`: which files are deleted, and which never are."""

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
    """Returns path relative to the sweep directory -> kind, for every removable file."""
    output: dict[str, Any] = json.loads(gc(directory, "--json", *options).stdout)
    return {str(Path(e["path"]).relative_to(directory)): e["kind"] for e in output["paths"]}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Writes twelve trials, of which the best two keep their weights; trial 5 is paused."""
    sweep = FakeSweep(
        tmp_path / "sweep", keep={"trials": "top 2"}, states={5: "paused"}, state="paused"
    ).write()
    (sweep / "tuner.pkl").write_bytes(b"pickle")
    (sweep / ".sweep.json.0123456789ab.tmp").write_bytes(b"half")
    for trial in (path.parent for path in sweep.glob("*/trial.json")):
        (trial / "result.json").write_text("{}")
        (trial / "checkpoint_000003").mkdir()
        os.link(trial / "checkpoints" / "latest.pt", trial / "checkpoint_000003" / "checkpoint.pt")
    return sweep


def test_a_dry_run_lists_files_and_deletes_nothing(directory: Path) -> None:
    before = sorted(directory.rglob("*"))
    removable = kinds(directory, "--dry-run")
    text = gc(directory, "--dry-run").stdout
    assert sorted(directory.rglob("*")) == before
    assert removable["tuner.pkl"] == "tune"
    assert removable[".sweep.json.0123456789ab.tmp"] == "temporary"
    assert "1 temporary files" in text
    assert all(Path(name).name in text for name in removable)


def test_the_best_trials_keep_their_weights(directory: Path) -> None:
    ranked = json.loads(
        CliRunner().invoke(main, ["export", str(directory), "--format", "json"]).stdout
    )
    ended = [row["directory"] for row in ranked if row["state"] != "paused"]
    gc(directory)
    kept = {path.parts[-3] for path in directory.glob("*/checkpoints/best.pt")}
    paused = next(row["directory"] for row in ranked if row["state"] == "paused")
    assert kept == {*ended[:2], paused}


def test_a_trial_that_has_not_ended_keeps_all_files(directory: Path) -> None:
    (paused,) = directory.glob("*_0005aaaa")
    before = sorted(paused.rglob("*"))
    gc(directory)
    assert sorted(paused.rglob("*")) == before


def test_files_that_describe_the_sweep_stay(directory: Path) -> None:
    gc(directory)
    assert {path.name for path in directory.iterdir() if path.is_file()} == {
        ".lock",
        "search.yaml",
        "sweep.json",
    }
    for name in ("trial.json", "metrics.jsonl", "config.yaml"):
        assert len(list(directory.glob(f"*/{name}"))) == 12
    assert "nothing to delete" in gc(directory).stdout


def test_only_bytes_that_are_really_freed_are_counted(directory: Path) -> None:
    """Tune's file is a hard link to `latest.pt`, so it frees nothing where `latest.pt` stays."""
    output = json.loads(gc(directory, "--json").stdout)
    weights, results, pruned_trials = len(b"weights"), 2 * 11, 9
    assert output["bytes"] == pruned_trials * 2 * weights + results + len(b"pickle") + len(b"half")


def test_a_running_sweep_is_not_changed(directory: Path) -> None:
    before = sorted(directory.rglob("*"))
    with sweep_lock(directory):
        assert "is being run by" in gc(directory, code=2).stderr
        assert kinds(directory, "--dry-run")["tuner.pkl"] == "tune"
    assert [path for path in sorted(directory.rglob("*")) if path.name != ".lock"] == before
