"""The verbs of the command on an address in object storage: in memory here, all in one process."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from sweeps import load_sweep
from sweeps.cli.main import main
from sweeps.storage import location
from sweeps.storage.lease import Lease
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.terminal import console
from tests.support.fake_sweeps import FakeSweep, as_json, sweep
from trainable.storage.object_store import ObjectStore
from trainable.uri import child_uri

PutUp = Callable[..., str]


@pytest.fixture(autouse=True)
def no_desks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test begins with no desk, and every command that `again` precedes has a new one."""
    monkeypatch.setattr(console, "_uris", {})
    monkeypatch.setattr(location, "_mirrors", {})
    yield
    location._close_mirrors()


@pytest.fixture
def put_up(tmp_path: Path) -> PutUp:
    """Writes a sweep into the store; returns its address."""

    def put_up(name: str = "digits", **options: object) -> str:
        directory = FakeSweep(tmp_path / name, **options).write()  # type: ignore[arg-type]
        uri = f"memory://{uuid.uuid4().hex}/experiments/{name}"
        remote = ObjectStore(uri)
        for path in directory.rglob("*"):
            if path.is_file():
                remote.upload(path, path.relative_to(directory).as_posix())
        return uri

    return put_up


def said(*words: str) -> str:
    done = sweep(*words)
    assert done.exit_code == 0, done.stderr
    assert "tune-sweeps-" not in done.stdout  # no local path
    return done.stdout


def test_a_sweep_is_listed_read_compared_and_drawn(put_up: PutUp) -> None:
    uri = put_up()
    (entry,) = as_json("list", uri.rpartition("/")[0])
    assert (entry["name"], entry["state"], entry["directory"]) == ("digits", "finished", uri)
    assert as_json("status", uri)["directory"] == uri
    best = as_json("best", uri)
    assert best["checkpoint"].startswith(f"{uri}/resnet20_digits_20260115_143022_")
    assert best["checkpoint"].endswith("/checkpoints/best.pt")
    assert f"sweep eval {best['checkpoint']}" in said("best", uri)
    assert as_json("show", uri, best["trial"])["checkpoint"] == best["checkpoint"]
    assert "7 B" in said("show", uri, best["trial"])
    assert as_json("compare", uri, "0000", "0001")["trials"] == ["0000aaaa", "0001aaaa"]
    assert len(said("export", uri).splitlines()) == 13
    assert "val_acc" in said("plot", uri)


def test_an_address_with_a_query_is_shown_as_a_shell_takes_it(put_up: PutUp) -> None:
    console.show_as_uri(Path("/desk/mine"), lambda name: child_uri("s3://b/mine?x=1&y=2", name))
    text = console._with_uris('sweep resume /desk/mine/t/best.pt, "/desk/mine/a" /desk/minefield')
    assert text == (
        "sweep resume 's3://b/mine/t/best.pt?x=1&y=2', \"s3://b/mine/a?x=1&y=2\" /desk/minefield"
    )


def test_a_report_is_written_into_the_store(put_up: PutUp) -> None:
    uri = put_up(trials=3)
    assert said("report", uri) == f"report: {uri}/report.html\n"
    assert (ObjectStore(uri).read("report.html") or b"").startswith(b"<!DOCTYPE html>")


def test_gc_deletes_in_the_store(put_up: PutUp) -> None:
    uri = put_up(keep={"trials": 2})
    before = [name for name in ObjectStore(uri).list() if name.endswith(".pt")]
    found = as_json("gc", uri, "--dry-run")
    assert found["paths"][0]["path"].startswith(uri)
    assert [name for name in ObjectStore(uri).list() if name.endswith(".pt")] == before
    sweep("gc", uri)
    left = [name for name in ObjectStore(uri).list() if name.endswith(".pt")]
    assert len(before) == 24
    assert len(left) == 4
    assert ".lock" not in ObjectStore(uri).list()


def test_a_running_sweep_is_told_to_stop_by_an_object(put_up: PutUp) -> None:
    uri = put_up(state="running", states={11: "running"})
    assert as_json("status", uri)["state"] == "interrupted"
    lock = Lease(ObjectStore(uri))
    assert lock.acquire() is None
    assert as_json("status", uri)["state"] == "running"
    with lock.renewed():
        assert "asked process" in said("stop", uri)
        assert ObjectStore(uri).read("stop") == b""
        refused = CliRunner().invoke(main, ["gc", uri])
        assert refused.exit_code == 2
        assert re.match(
            rf"{uri} is being run by process \d+ on .*: sweep stop {uri}", refused.stderr
        )
    assert "is not running; it is running" in said("stop", uri)


def test_what_another_process_has_done_meanwhile_is_seen(put_up: PutUp) -> None:
    uri = put_up(trials=2)
    found = load_sweep(uri)
    assert found.state == "finished"
    record = SweepLayout(found.directory).read_sweep()
    ObjectStore(uri).write("sweep.json", json.dumps({**vars(record), "state": "paused"}).encode())
    ObjectStore(uri).delete(
        [f"{trial.directory.name}/trial.json" for trial in found.files.results[:1]]
    )
    again = load_sweep(uri)
    assert again.state == "paused"
    assert len(again.files.results) == 1


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("memory://nowhere/at/all", "sweep.json: there is no such file"),
        ("nosuch://bucket/sweep", "Protocol not known: nosuch"),
        ("s3://key:hush@bucket/sweep", "must not hold a user name or a secret"),
    ],
)
def test_an_address_without_a_sweep_is_one_sentence(address: str, sentence: str) -> None:
    done = CliRunner().invoke(main, ["status", address])
    assert (done.exit_code, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert "hush" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
