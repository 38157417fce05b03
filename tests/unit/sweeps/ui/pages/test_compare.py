"""The page that compares trials, through the server and Dash's protocol."""

import json
from pathlib import Path
from typing import Any

from sweeps.report.class_data import SplitClasses
from sweeps.results.loaded_sweep import load
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.ui.pages.compare import class_rows
from tests.support.fake_sweeps import ONE_KEY, FakeSweep
from tests.support.figure_data import lines_of
from tests.support.ui_browser import UiBrowser, texts_of

START = "compare-start.n_intervals"
METRIC = "compare-metric.value"


def rows_of(layout: Any) -> dict[str, list[str]]:
    """Returns the first cell of each table row -> the others."""
    if isinstance(layout, list):
        return {key: row for part in layout for key, row in rows_of(part).items()}
    if not isinstance(layout, dict):
        return {}
    children = layout["props"].get("children")
    if layout.get("type") == "Tr":
        first, *cells = ("".join(texts_of(cell)) for cell in children)
        return {first: cells}
    return rows_of(children)


def shown_by(layout: Any) -> Any:
    """Returns what a page that has just been opened shows."""
    parts = {part["props"].get("id"): part["props"] for part in layout["props"]["children"]}
    return parts["compare-shown"]["data"]


def test_what_differs_comes_first_and_curves_follow_the_metric(tmp_path: Path) -> None:
    directory = FakeSweep(
        tmp_path / "sweep", trials=4, space=ONE_KEY, states={3: "pending"}
    ).write()
    browser = UiBrowser(directory)
    layout = json.loads(browser.page("/sweep/sweep/compare", "?trials=0002aaaa,0000aaaa,0003aaaa"))
    results = [load(directory).find(name) for name in ("0002", "0000", "0003")]
    rows = rows_of(layout)
    assert list(rows)[:3] == ["", "optimizer.learning_rate", "state"]
    assert rows[""] == ["0002aaaa", "0000aaaa", "0003aaaa"]
    rates = [f"{result.values['optimizer.learning_rate']:.4g}" for result in results]
    assert rows["optimizer.learning_rate"] == rates
    scores = [f"{(result.best or {}).get('val_acc', 0):.4f}" for result in results[:2]]
    assert rows["best val_acc"] == [*scores, "-"]
    assert rows["state"][2] == "pending"
    assert '"Strong"' in json.dumps(layout)

    def refresh(metric: str, shown: Any) -> dict[str, Any]:
        ids = [result.record.id for result in results]
        return browser.call(
            {START: 1, METRIC: metric}, sweep_key="sweep", compare_ids=ids, compare_shown=shown
        )

    answer = refresh("val_loss", shown_by(layout))
    assert "compare-tables" not in answer
    figure = answer["compare-curves"]["children"]["props"]["figure"]
    assert list(lines_of(figure)) == ["0002aaaa", "0000aaaa", "0003aaaa"]
    assert figure["layout"]["yaxis"]["title"]["text"] == "val_loss"
    assert refresh("val_loss", answer["compare-shown"]["data"]) == {}


def test_a_trial_that_ends_while_the_page_opens_is_brought_up_to_date(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=2, states={1: "running"}).write()
    browser = UiBrowser(directory)
    ids = ["0000aaaa", "0001aaaa"]
    layout = json.loads(browser.page("/sweep/sweep/compare", f"?trials={','.join(ids)}"))
    sweep = SweepLayout(directory)
    record = sweep.read_trials()[1]
    record.state = "finished"
    sweep.write_trial(record)
    # Another server: the first one looks at the files only every half second.
    answer = UiBrowser(directory).call(
        {START: 1, METRIC: "val_acc"},
        sweep_key="sweep",
        compare_ids=ids,
        compare_shown=shown_by(layout),
    )
    assert rows_of(layout)["state"] == ["finished", "running"]
    assert rows_of(answer["compare-tables"]["children"])["state"] == ["finished", "finished"]


def test_too_few_too_many_and_unknown_trials(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=14, epochs=1).write()
    browser = UiBrowser(directory)
    for query in ("", "?trials=0000aaaa", "?trials=0000aaaa,0000aaaa", "?trials=..,x"):
        assert "at least two trials" in browser.page("/sweep/sweep/compare", query)
    ids = ",".join(f"{number:04d}aaaa" for number in range(14))
    shown = browser.page("/sweep/sweep/compare", f"?trials={ids},none")
    assert "There is no trial none." in shown
    assert "14 trials are selected; the first 12 are shown." in shown


def test_classes_with_the_largest_differences_come_first() -> None:
    def split(*recalls: float | None) -> SplitClasses:
        return SplitClasses("val", 1, {"recall_per_class": list(recalls)}, ["cat", "dog", "cow"])

    splits = [split(0.5, 0.9, None), split(0.6, 0.2, None), None, split(0.1)]
    assert class_rows(splits) == [
        ["dog", "0.9", "0.2", "-", "-", "0.7"],
        ["cat", "0.5", "0.6", "-", "-", "0.1"],
        ["cow", "no images", "no images", "-", "-", "0"],
    ]
    assert class_rows([split(0.5), None]) == []
