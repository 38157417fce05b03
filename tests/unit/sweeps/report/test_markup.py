"""Markup in a text of the user's adds no element to `report.html`, and is shown as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sweeps.report.page import LIBRARY, build_page
from sweeps.report.page import _read as read_asset
from sweeps.results.loaded_sweep import load
from tests.support.fake_sweeps import FakeSweep, trial
from trainable.artifacts.names import CLASSES_FILE
from trainable.config.yaml_reader import dump_yaml, read_yaml

MARKUP = """</script></h2><b id="x">'&amp;'<!--"""
NAME = """<b id="x">'&amp;'<!--@trial:id:"""
"""Markup for names of files and directories, which have no slash, with a mark of commands."""
NAMES = ("sweep", "trial directory", "file")
FIELDS = (
    *NAMES,
    *("value", "changed value", "unknown key", "class"),
    *("message", "traceback", "reason", "start weights"),
    *("environment", "version"),
)


class Page(HTMLParser):
    """A page without its library: its elements, its texts and its JSON object."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, list[str]]] = []
        self.texts: list[str] = []
        self._is_island = False
        self.island: Any = None
        self.feed(html.replace(read_asset(LIBRARY), ""))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, sorted(name for name, _ in attrs)))
        self.texts += [value or "" for _, value in attrs]
        self._is_island = ("id", "data") in attrs

    def handle_data(self, data: str) -> None:
        if self._is_island:
            self.island, self._is_island = json.loads(data), False
        self.texts.append(data)

    def shows(self, text: str) -> bool:
        return any(text in shown for shown in [*self.texts, *list_texts(self.island)])


def list_texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = [*value, *value.values()]
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from list_texts(inner)


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def write_page(parent: Path, texts: Mapping[str, str]) -> Page:
    """Returns the page of a sweep that has a text in each of `FIELDS`."""
    text = {**dict.fromkeys(FIELDS, "plain"), **texts}
    directory = FakeSweep(
        parent / "sweep", trials=4, epochs=3, states={1: "failed"}, rules={2: "max_seconds"}
    ).write()
    key = "dataset.args.site"
    search = read_yaml(directory / "search.yaml").data
    search["config"]["dataset"] |= {"name": "my_data:scans", "args": {"site": "a"}}
    search["space"] = {key: {"choice": ["a", text["value"]]}}
    (directory / "search.yaml").write_text(dump_yaml(search))
    for number in range(4):
        place = trial(directory, number)
        edit_json(place / "trial.json", values={key: text["value"]})
        config = read_yaml(place / "config.yaml").data
        config["dataset"] = search["config"]["dataset"] | {"classes": ["cat", text["class"]]}
        (place / "config.yaml").write_text(dump_yaml(config))
        matrix = {"epoch": 3, "val_recall_per_class": [1, 0], "val_confusion_matrix": [[1, 0]] * 2}
        (place / CLASSES_FILE).write_text(json.dumps(matrix) + "\n")
    failed = json.loads((trial(directory, 1) / "trial.json").read_text())
    (failure,) = failed["failures"]
    failure |= {"message": text["message"], "traceback": f"Traceback\n{text['traceback']}"}
    weights = {"trial": "0000aaaa", "epoch": 1, "file": text["start weights"]}
    edit_json(trial(directory, 1) / "trial.json", failures=[failure], weights=weights)
    changes = {"dataset.args.site": text["changed value"]}
    edit_json(trial(directory, 2) / "trial.json", stop_reason=text["reason"], changes=changes)
    (trial(directory, 2) / text["file"]).touch()
    edit_json(trial(directory, 3) / "trial.json", changes={text["unknown key"]: 1})
    moved = trial(directory, 0)
    edit_json(moved / "trial.json", directory=text["trial directory"])
    moved.rename(directory / text["trial directory"])
    edit_json(
        directory / "sweep.json",
        name=text["sweep"],
        environment={"machine": text["environment"]},
        versions={"tune-sweeps": text["version"]},
    )
    return Page(build_page(load(directory.rename(parent / text["sweep"]))))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return write_page(
        tmp_path_factory.mktemp("marked"),
        {field: f"{field}{NAME if field in NAMES else MARKUP}" for field in FIELDS},
    )


def test_no_text_adds_an_element(page: Page, tmp_path: Path) -> None:
    assert page.elements == write_page(tmp_path, {}).elements


@pytest.mark.parametrize("field", FIELDS)
def test_a_text_is_shown_as_it_is(field: str, page: Page) -> None:
    assert page.shows(f"{field}{NAME if field in NAMES else MARKUP}")
