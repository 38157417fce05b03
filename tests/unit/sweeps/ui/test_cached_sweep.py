"""A sweep in memory follows its files, and reads only those that have changed."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from sweeps.results.loaded_sweep import load
from sweeps.results.status import status_values
from sweeps.sweep_dir.layout import LOCK_FILE, SweepLayout
from sweeps.ui.cached_sweep import CachedSweep, SweepView
from tests.support.fake_sweeps import FakeSweep
from trainable.errors import TuneSweepsError

pytestmark = pytest.mark.usefixtures("every_look_reads")

RUNNING = {10: "running", 11: "running"}


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Path]:
    """A sweep whose lock this process holds like a driver."""
    sweep = FakeSweep(tmp_path / "live", state="running", states=RUNNING).write()
    with FileLock(sweep / LOCK_FILE):
        yield sweep


def look(cached: CachedSweep) -> SweepView:
    return cached.view()


def trial_directory(sweep: Path, number: int) -> Path:
    return sweep / SweepLayout(sweep).read_trials()[number].directory


def append_epoch(sweep: Path, number: int, value: float) -> None:
    path = trial_directory(sweep, number) / "metrics.jsonl"
    row = json.loads(path.read_text().splitlines()[-1])
    row |= {"epoch": row["epoch"] + 1, "val_acc": value}
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def assert_as_loaded(view: SweepView, sweep: Path) -> None:
    """The view is what the other commands read."""
    loaded = load(sweep)
    assert view.sweep.results == loaded.results
    assert (view.sweep.state, view.sweep.search) == (loaded.state, loaded.search)
    times = {"elapsed_s": 0, "damage": 0}
    assert view.status | times == status_values(loaded) | times


def test_only_what_has_changed_is_read_again(live: Path) -> None:
    cached = CachedSweep("live", live)
    before = look(cached)
    assert_as_loaded(before, live)
    assert look(cached) is before
    append_epoch(live, 10, 0.99)
    after = look(cached)
    assert_as_loaded(after, live)
    assert after.sweep.best is after.by_id["0010aaaa"]
    assert {i for i, version in after.changed.items() if version > before.version} == {"0010aaaa"}
    same = set(after.by_id) - {"0010aaaa"}
    assert all(after.by_id[i] is before.by_id[i] for i in same)
    assert after.replaced_in == before.replaced_in


def test_an_epoch_that_a_resume_has_taken_back_is_gone(live: Path) -> None:
    cached = CachedSweep("live", live)
    append_epoch(live, 10, 0.99)
    assert look(cached).sweep.best is look(cached).by_id["0010aaaa"]
    path = trial_directory(live, 10) / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    append_epoch(live, 10, 0.01)
    assert_as_loaded(look(cached), live)
    assert look(cached).by_id["0010aaaa"].rows[-1]["val_acc"] == 0.01


def test_a_line_that_is_being_written_is_read_once_it_is_whole(live: Path) -> None:
    cached = CachedSweep("live", live)
    path = trial_directory(live, 11) / "metrics.jsonl"
    line = json.dumps(json.loads(path.read_text().splitlines()[-1]) | {"epoch": 6}) + "\n"
    for part, epochs in ((line[:30], 5), (line[30:], 6)):
        look(cached)
        with path.open("a") as file:
            file.write(part)
        assert len(look(cached).by_id["0011aaaa"].rows) == epochs


def test_new_trials_and_states_appear(live: Path) -> None:
    cached, layout = CachedSweep("live", live), SweepLayout(live)
    before = look(cached)
    record = layout.read_trials()[10]
    record.state, record.ended = "stopped", "2026-01-15T16:00:00+00:00"
    layout.write_trial(record)
    new = layout.read_trials()[0]
    new.id, new.number, new.directory = "new0", 12, "resnet20_digits_new0"
    new.state, new.values = "pending", {"optimizer.learning_rate": 0.1, "training.epochs": 9}
    layout.write_trial(new)
    after = look(cached)
    assert_as_loaded(after, live)
    assert after.created["new0"] > before.version
    assert after.by_id["0010aaaa"].record.state == "stopped"
    assert after.replaced_in == after.version, "a key that no trial had before is a new column"


def test_a_driver_that_dies_leaves_an_interrupted_sweep(tmp_path: Path) -> None:
    sweep = FakeSweep(tmp_path / "sweep", state="running", states=RUNNING).write()
    cached = CachedSweep("sweep", sweep)
    with FileLock(sweep / LOCK_FILE):
        assert look(cached).sweep.state == "running"
    assert look(cached).sweep.state == "interrupted"
    assert_as_loaded(look(cached), sweep)


@pytest.mark.parametrize("name", ["trial.json", "metrics.jsonl"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe"])
def test_a_damaged_file_of_a_trial_leaves_the_others(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    sweep = FakeSweep(tmp_path / "sweep", weights=False).write()
    cached = CachedSweep("sweep", sweep)
    look(cached)
    path = trial_directory(sweep, 3) / name
    intact = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    view = look(cached)
    assert len(view.sweep.results) >= 11
    assert view.sweep.damage
    assert path.name in view.sweep.damage[0]
    path.write_bytes(intact)
    assert look(cached).sweep.damage == []
    assert_as_loaded(look(cached), sweep)


@pytest.mark.parametrize("name", ["sweep.json", "search.yaml"])
def test_a_damaged_file_of_the_sweep_leaves_the_last_view(tmp_path: Path, name: str) -> None:
    sweep = FakeSweep(tmp_path / "sweep").write()
    cached = CachedSweep("sweep", sweep)
    before = look(cached)
    path = sweep / name
    intact = path.read_bytes()
    path.write_bytes(b"{")
    view = look(cached)
    assert name in str(view.problem)
    assert view.version > before.version
    assert view.sweep.results == before.sweep.results
    assert look(cached).version == view.version
    path.write_bytes(intact)
    assert look(cached).problem is None
    with pytest.raises(TuneSweepsError, match="no such file"):
        CachedSweep("none", tmp_path).view()


def test_a_sweep_that_vanishes_keeps_its_last_view(tmp_path: Path) -> None:
    sweep = FakeSweep(tmp_path / "sweep").write()
    cached = CachedSweep("sweep", sweep)
    before = look(cached)
    shutil.rmtree(sweep)
    assert look(cached).sweep is before.sweep
    assert look(cached).problem


def test_links_out_of_the_sweep_are_not_followed(tmp_path: Path) -> None:
    sweep = FakeSweep(tmp_path / "sweep", trials=3).write()
    moved = trial_directory(sweep, 0)
    moved.rename(tmp_path / moved.name)
    moved.symlink_to(tmp_path / moved.name)
    view = look(CachedSweep("sweep", sweep))
    assert sorted(view.by_id) == ["0001aaaa", "0002aaaa"]
    assert "is a link out of the sweep's directory" in view.sweep.damage[0]


@pytest.mark.parametrize("name", ["trial.json", "metrics.jsonl", "config.yaml", "classes.jsonl"])
@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_files_that_are_links_to_elsewhere_or_fifos_are_not_read(
    tmp_path: Path, name: str, kind: str
) -> None:
    sweep = FakeSweep(tmp_path / "sweep", trials=3, weights=False).write()
    path = trial_directory(sweep, 0) / name
    outside = tmp_path / name
    if path.exists():
        path.rename(outside)
    else:
        outside.write_text("")
    if kind == "link":
        path.symlink_to(outside)
    else:
        os.mkfifo(path)
    view = look(CachedSweep("sweep", sweep))
    assert sorted(view.by_id) == ["0001aaaa", "0002aaaa"]
    reason = "is a link out of its directory" if kind == "link" else "is not a regular file"
    assert f"{name}: {reason}" in view.sweep.damage[0]


def test_a_sweep_file_that_is_a_fifo_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "sweep.json")
    with pytest.raises(TuneSweepsError, match=r"sweep\.json: is not a regular file"):
        CachedSweep("sweep", tmp_path).view()


def test_memory_is_given_back_and_versions_go_on(tmp_path: Path) -> None:
    cached = CachedSweep("sweep", FakeSweep(tmp_path / "sweep").write())
    before = look(cached)
    cached.forget()
    after = look(cached)
    assert after.version > before.version
    assert after.replaced_in > before.version
    assert after.sweep.results == before.sweep.results
