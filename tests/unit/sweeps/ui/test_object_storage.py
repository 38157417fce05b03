"""Pages of sweeps in object storage, here in memory: shown by address, followed, and steered."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.storage import location
from sweeps.terminal import console
from tests.support.fake_sweeps import FakeSweep
from tests.support.ui_browser import UiBrowser
from trainable.storage.object_store import ObjectStore

pytestmark = pytest.mark.usefixtures("every_look_reads")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """A directory of sweeps in object storage, with one sweep."""
    monkeypatch.setattr(console, "_uris", {})
    monkeypatch.setattr(location, "_mirrors", {})
    monkeypatch.setattr("sweeps.ui.cached_sweep.STORE_INTERVAL_S", -1)
    monkeypatch.setattr("sweeps.storage.sweep_mirror.FRESH_S", -1)
    directory = FakeSweep(
        tmp_path / "digits", trials=3, state="paused", states={0: "paused"}
    ).write()
    store = ObjectStore(f"memory://{uuid.uuid4().hex}/experiments")
    for path in directory.rglob("*"):
        if path.is_file():
            store.upload(path, path.relative_to(tmp_path).as_posix())
    yield store
    location._close_mirrors()


def test_a_sweep_is_shown_by_its_address_and_followed(store: ObjectStore) -> None:
    browser = UiBrowser(location.resolve(store.uri))
    assert store.uri in browser.page("/")
    page = browser.page("/sweep/digits")
    assert f"{store.uri}/digits" in page
    assert "tune-sweeps-" not in page, "no path of the local mirror"
    [name] = [name for name in store.list() if name.endswith("0000aaaa/metrics.jsonl")]
    rows = store.read(name).decode().splitlines()
    new = json.loads(rows[-1]) | {"epoch": 6, "val_acc": 0.999}
    store.write(name, "\n".join([*rows, json.dumps(new), ""]).encode())
    assert '"best": 0.999' in browser.page("/sweep/digits")


def test_a_button_reaches_the_store(store: ObjectStore) -> None:
    browser = UiBrowser(location.resolve(store.uri))
    button = {"type": "request-sure", "verb": "stop", "sweep": "digits", "trial": "0000aaaa"}
    assert "Trial 0000aaaa is stopped" in browser.click(button).text
    [name] = [name for name in store.list() if name.endswith("0000aaaa/trial.json")]
    record = json.loads(store.read(name))
    assert (record["state"], record["stopped_by"]) == ("stopped", "hand")
