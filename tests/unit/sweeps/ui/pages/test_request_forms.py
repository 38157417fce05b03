"""Forms for new trials and for settings."""

import json
from pathlib import Path
from typing import Any

import pytest

from sweeps.sweep_dir.event_log import EventLog
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.ui.pages.request_forms import list_new_code
from tests.support.fake_sweeps import FakeSweep
from tests.support.ui_browser import UiBrowser

RATE, BATCH, MOMENTUM = "optimizer.learning_rate", "training.batch_size", "optimizer.momentum"


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    tune = {"scheduler": "fifo", "num_samples": 6}
    return FakeSweep(tmp_path / "sweep", trials=4, state="paused", tune=tune).write()


def requests(sweep: Path) -> list[dict[str, Any]]:
    events = EventLog(SweepLayout(sweep).events_file).read()
    return [dict(event.request) for event in events if event.request is not None]


def fields(layout: Any) -> dict[str, str]:
    """Returns key -> text of the fields of a form."""
    text = json.dumps(layout)
    found: dict[str, str] = {}

    def visit(item: Any) -> None:
        if isinstance(item, list):
            for part in item:
                visit(part)
        elif isinstance(item, dict):
            props = item.get("props", {})
            if isinstance(props.get("id"), dict):
                found[props["id"]["key"]] = props["value"]
            visit(props.get("children"))

    visit(json.loads(text))
    return found


def send_add(browser: UiBrowser, texts: dict[str, str], **states: Any) -> tuple[str, str | None]:
    """Sends the form; returns the answer and the form's class afterwards."""
    pairs = [({"type": "add-value", "key": key}, value) for key, value in texts.items()]
    values = {"sweep_key": "sweep", "add_value": pairs, "add_more": "", **states}
    response = browser.call({"add-send.n_clicks": 1}, **values)
    card = response["answers"]["children"][-1]["props"]
    return card["children"], response.get("add-form", {}).get("className")


def test_a_trial_like_another_one_is_added_with_what_was_changed(sweep: Path) -> None:
    browser = UiBrowser(sweep)
    source = SweepLayout(sweep).read_trials()[1]
    opened = browser.call({"add-open.n_clicks": 1}, sweep_key="sweep", selected_trials=[source.id])
    assert opened["add-form"]["className"] == "form"
    assert opened["add-like"]["data"] == source.id
    texts = fields(opened["add-fields"]["children"])
    assert float(texts[RATE]) == source.values[RATE]
    text, form = send_add(browser, texts | {BATCH: "256"}, add_like=source.id)
    assert "is added" in text
    assert form == "hidden"
    [request] = requests(sweep)
    assert request["arguments"] == {"set": {BATCH: 256}, "like": source.id}
    assert request["values"]["values"] == {**source.values, BATCH: 256}


def test_a_new_trial_has_typed_values_and_other_keys(sweep: Path) -> None:
    browser = UiBrowser(sweep)
    opened = browser.call({"add-open.n_clicks": 1}, sweep_key="sweep", selected_trials=None)
    texts = fields(opened["add-fields"]["children"])
    assert set(texts.values()) == {""}
    changed = texts | {RATE: "1e-2", "optimizer.name": "adamw", BATCH: "64"}
    text, _ = send_add(browser, changed, add_more="\n optimizer.weight_decay=0.001 \n")
    assert "is added" in text
    assert "The searcher does not learn from it" in text
    [request] = requests(sweep)
    expected = {RATE: 0.01, "optimizer.name": "adamw", BATCH: 64, "optimizer.weight_decay": 0.001}
    assert request["arguments"] == {"set": expected}


@pytest.mark.parametrize(
    ("texts", "more", "reason"),
    [
        ({RATE: "-1"}, "", "optimizer.learning_rate"),
        ({RATE: "fast"}, "", "optimizer.learning_rate"),
        ({}, "no equals sign", "KEY=VALUE"),
        ({}, "optimizer.no_such=1", "no_such"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_form_stays(
    sweep: Path, texts: dict[str, str], more: str, reason: str
) -> None:
    text, form = send_add(UiBrowser(sweep), texts, add_more=more)
    assert reason in text
    assert form is None
    assert not [p for p in sweep.glob("*/trial.json") if json.loads(p.read_text()).get("added")]


NEW_CODE = "code that the sweep does not have is named in a terminal only, with sweep trial add"


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("loss.name=subprocess:getoutput", "loss.name"),
        ("model.name=subprocess:getoutput", "model.name"),
        ("model={name: 'subprocess:getoutput'}", "model.name"),
        ("model=subprocess:getoutput", "model"),
        ("dataset.name=subprocess:getoutput", "dataset.name"),
        ("dataset={name: 'subprocess:getoutput'}", "dataset.name"),
        ("metrics=['subprocess:getoutput:max']", "metrics"),
    ],
)
def test_the_page_names_no_code_that_the_sweep_does_not_have(
    sweep: Path, line: str, key: str
) -> None:
    text, form = send_add(UiBrowser(sweep), {RATE: "0.1"}, add_more=line)
    assert (text, form) == (f"{key}: {NEW_CODE}", None)
    assert requests(sweep) == []


def test_code_that_the_sweep_has_and_paths_may_be_chosen() -> None:
    search = {"space": {"model.name": {"choice": ["own:a", "own:b"]}}, "config": {}}
    given = {"model": {"name": "own:b", "pretrained": "a:b.pt"}, "dataset.root": "s3://x"}
    assert list_new_code(search, given) == []
    assert list_new_code(search, {"model.name": "own:c"}) == ["model.name"]


@pytest.mark.parametrize("name", ["add-send", "set-send"])
def test_a_button_is_disabled_until_the_answer_is_there(sweep: Path, name: str) -> None:
    callbacks = UiBrowser(sweep).get("/_dash-dependencies").get_json()
    [callback] = [
        c for c in callbacks if any(i == {"id": name, "property": "n_clicks"} for i in c["inputs"])
    ]
    assert callback["running"]["running"] == {f"{name}.disabled": True}
    assert callback["running"]["runningOff"] == {f"{name}.disabled": False}


def test_settings_change(sweep: Path) -> None:
    browser = UiBrowser(sweep)
    opened = browser.call({"set-open.n_clicks": 1}, sweep_key="sweep")
    assert "now 6" in json.dumps(opened["set-fields"])
    assert "now null" in json.dumps(opened["set-fields"])
    ids = [{"type": "set-value", "key": f"tune.{key}"} for key in ("num_samples", "time_budget")]
    pairs = list(zip(ids, ("9", "3h"), strict=True))
    states = {"sweep_key": "sweep", "set_value": pairs, "set_more": ""}
    answer = browser.call({"set-send.n_clicks": 1}, **states)
    assert "num_samples" in json.dumps(answer["answers"])
    assert answer["set-form"]["className"] == "hidden"
    assert requests(sweep)[0]["values"]["settings"]["tune.num_samples"] == 9
    empty = browser.call(
        {"set-send.n_clicks": 1}, sweep_key="sweep", set_value=[(ids[0], "")], set_more=None
    )
    assert "Nothing is filled in" in json.dumps(empty)
    assert browser.call({"set-open.n_clicks": None}, sweep_key="sweep") == {}


@pytest.mark.parametrize("line", ["hooks.on_best=touch /tmp/x", "log_to.optuna=/tmp/x.log"])
def test_the_page_sets_neither_commands_nor_files(sweep: Path, line: str) -> None:
    answer = UiBrowser(sweep).call(
        {"set-send.n_clicks": 1},
        sweep_key="sweep",
        set_value=[],
        set_more=f"keep.epochs=2\n{line}",
    )
    assert f"{line.partition('=')[0]}: changed in a terminal only" in json.dumps(answer)
    assert requests(sweep) == []


def test_a_read_only_page_has_no_forms(sweep: Path) -> None:
    page = UiBrowser(sweep, read_only=True).page("/sweep/sweep")
    assert "add-form" not in page
    assert "Add trial" not in page
