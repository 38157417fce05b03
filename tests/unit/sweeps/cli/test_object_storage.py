"""The commands on a URI in object storage, here in memory and in one process."""

from __future__ import annotations

import json
import re
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from sweeps import load_sweep
from sweeps.cli.main import main
from sweeps.execution.launch import refuse_taken
from sweeps.execution.resume import open_for_resume
from sweeps.storage import location
from sweeps.storage.lease import Lease
from sweeps.storage.uploader import background_upload
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.terminal import console
from tests.support.fake_sweeps import FakeSweep, as_json, sweep
from trainable.storage.object_store import ObjectStore
from trainable.uri import child_uri

UploadSweep = Callable[..., str]


@pytest.fixture(autouse=True)
def no_mirrors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Starts every test without local mirrors."""
    monkeypatch.setattr(console, "_uris", {})
    monkeypatch.setattr(location, "_mirrors", {})
    yield
    location._close_mirrors()


@pytest.fixture
def upload_sweep(tmp_path: Path) -> UploadSweep:
    """Uploads a fake sweep to the store; returns its URI."""

    def upload(name: str = "digits", **options: object) -> str:
        directory = FakeSweep(tmp_path / name, **options).write()  # type: ignore[arg-type]
        uri = f"memory://{uuid.uuid4().hex}/experiments/{name}"
        remote = ObjectStore(uri)
        for path in directory.rglob("*"):
            if path.is_file():
                remote.upload(path, path.relative_to(directory).as_posix())
        return uri

    return upload


def output_of(*words: str) -> str:
    done = sweep(*words)
    assert done.exit_code == 0, done.stderr
    assert "tune-sweeps-" not in done.stdout  # no local path
    return done.stdout


def test_a_sweep_is_listed_read_compared_and_drawn(upload_sweep: UploadSweep) -> None:
    uri = upload_sweep()
    (entry,) = as_json("list", uri.rpartition("/")[0])
    assert (entry["name"], entry["state"], entry["directory"]) == ("digits", "finished", uri)
    assert as_json("status", uri)["directory"] == uri
    best = as_json("best", uri)
    assert best["checkpoint"].startswith(f"{uri}/resnet20_digits_20260115_143022_")
    assert best["checkpoint"].endswith("/checkpoints/best.pt")
    assert f"sweep eval {best['checkpoint']}" in output_of("best", uri)
    assert as_json("show", uri, best["trial"])["checkpoint"] == best["checkpoint"]
    assert "7 B" in output_of("show", uri, best["trial"])
    assert as_json("compare", uri, "0000", "0001")["trials"] == ["0000aaaa", "0001aaaa"]
    assert len(output_of("export", uri).splitlines()) == 13
    assert "val_acc" in output_of("plot", uri)


def test_a_uri_with_a_query_is_quoted_for_a_shell() -> None:
    console.show_as_uri(Path("/mirror/mine"), lambda name: child_uri("s3://b/mine?x=1&y=2", name))
    with console.console.capture() as capture:
        console.print_line('sweep resume /mirror/mine/t/best.pt, "/mirror/mine/a" /mirror/mines')
    assert capture.get().rstrip() == (
        "sweep resume 's3://b/mine/t/best.pt?x=1&y=2', \"s3://b/mine/a?x=1&y=2\" /mirror/mines"
    )


def test_a_report_is_uploaded(upload_sweep: UploadSweep) -> None:
    uri = upload_sweep(trials=3)
    assert output_of("report", uri) == f"report: {uri}/report.html\n"
    assert (ObjectStore(uri).read("report.html") or b"").startswith(b"<!DOCTYPE html>")


def test_gc_deletes_objects(upload_sweep: UploadSweep) -> None:
    uri = upload_sweep(keep={"trials": 2})
    before = [name for name in ObjectStore(uri).list() if name.endswith(".pt")]
    plan = as_json("gc", uri, "--dry-run")
    assert plan["paths"][0]["path"].startswith(uri)
    assert [name for name in ObjectStore(uri).list() if name.endswith(".pt")] == before
    sweep("gc", uri)
    remaining = [name for name in ObjectStore(uri).list() if name.endswith(".pt")]
    assert len(before) == 24
    assert len(remaining) == 4
    assert ".lock" not in ObjectStore(uri).list()


def test_stop_uploads_the_request_to_a_running_sweep(upload_sweep: UploadSweep) -> None:
    uri = upload_sweep(state="running", states={11: "running"})
    assert as_json("status", uri)["state"] == "interrupted"
    lock = Lease(ObjectStore(uri))
    assert lock.acquire() is None
    assert as_json("status", uri)["state"] == "running"
    with lock.renewed():
        assert output_of("pause", uri).startswith("asked the sweep to pause")
        assert ObjectStore(uri).read("stop") == b""
        refused = CliRunner().invoke(main, ["gc", uri])
        assert refused.exit_code == 2
        assert re.match(
            rf"{uri} is being run by process \d+ on .*: sweep pause {uri}", refused.stderr
        )
    assert "is not running; it is running" in output_of("pause", uri)


def test_an_old_request_to_stop_is_deleted_as_soon_as_the_sweep_is_locked(
    upload_sweep: UploadSweep,
) -> None:
    uri = upload_sweep()
    store = ObjectStore(uri)
    store.write("stop", b"meant for a driver that died")
    directory = location.resolve(uri)
    with open_for_resume(directory):
        assert "stop" not in store.list()
        assert not SweepLayout(directory).stop_file.exists()
        output_of("pause", uri)  # while Ray is starting
        with background_upload(directory):
            assert "stop" in store.list() or SweepLayout(directory).stop_file.exists()


def test_changes_by_another_process_are_read(upload_sweep: UploadSweep) -> None:
    uri = upload_sweep(trials=2)
    loaded = load_sweep(uri)
    assert loaded.state == "finished"
    record = SweepLayout(loaded.directory).read_sweep()
    ObjectStore(uri).write("sweep.json", json.dumps({**vars(record), "state": "paused"}).encode())
    ObjectStore(uri).delete(
        [f"{trial.directory.name}/trial.json" for trial in loaded.files.results[:1]]
    )
    reloaded = load_sweep(uri)
    assert reloaded.state == "paused"
    assert len(reloaded.files.results) == 1


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("memory://nowhere/at/all", "sweep.json: there is no such file"),
        ("nosuch://bucket/sweep", "Protocol not known: nosuch"),
        ("s3://key:hush@bucket/sweep", "must not hold a user name or a secret"),
    ],
)
def test_a_uri_without_a_sweep_is_one_error(uri: str, message: str) -> None:
    done = CliRunner().invoke(main, ["status", uri])
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert "hush" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_local_path_is_printed_below_the_working_directory(
    upload_sweep: UploadSweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The local mirror may lie there, if TMPDIR does."""
    uri = upload_sweep(keep={"trials": 2})
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.chdir(tmp_path)
    assert f"{uri}/" in output_of("best", uri)
    assert output_of("report", uri) == f"report: {uri}/report.html\n"
    assert f"{uri}/" in output_of("show", uri, "0001")
    assert f"{uri}/" in output_of("gc", uri, "--dry-run")


def test_a_sweep_that_another_process_is_just_starting_is_not_taken_by_something_else() -> None:
    uri = f"memory://{uuid.uuid4().hex}/experiments/mine"
    store = ObjectStore(uri)
    lease = Lease(store)
    assert lease.acquire() is None
    store.write(".lock.0123abcd", b"")
    refuse_taken(location.resolve(uri))  # nothing but a lock: it may be left over
    store.write("search.yaml", b"")
    with pytest.raises(SweepError, match="is just being started by another process"):
        refuse_taken(location.resolve(uri))
    store.delete([".lock"])
    with pytest.raises(SweepError, match="is taken by something other than a sweep"):
        refuse_taken(location.resolve(uri))
