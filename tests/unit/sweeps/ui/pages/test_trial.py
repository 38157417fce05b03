"""The page of one trial, through the server and Dash's protocol."""

import json
from pathlib import Path
from typing import Any

import pytest

from sweeps.results.loaded_sweep import load
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import StartWeights
from sweeps.ui.log_tail import MAX_BYTES
from tests.support.fake_sweeps import ONE_KEY, FakeSweep, trial
from tests.support.figure_data import lines_of
from tests.support.ui_browser import UiBrowser, texts_of

START = "trial-start.n_intervals"


def page(browser: UiBrowser, number: int) -> str:
    layout = json.loads(browser.page(f"/sweep/sweep/trial/000{number}aaaa"))
    return "\n".join(texts_of(layout))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return FakeSweep(
        tmp_path / "sweep", trials=4, states={1: "failed", 2: "stopped", 3: "pending"}
    ).write()


def test_values_metrics_and_files(sweep: Path) -> None:
    result = load(sweep).find("0000")
    assert result.best is not None
    shown = page(UiBrowser(sweep), 0)
    assert f"{result.best['val_acc']:.4f} at epoch {result.best['epoch']}" in shown
    assert f"{len(result.rows)} of 9" in shown
    rate = result.values["optimizer.learning_rate"]
    assert f"optimizer.learning_rate\n{rate:.4g}" in shown
    assert f"optimizer.learning_rate: {rate:.4g}\n   was 0.1" in shown
    assert "best.pt\n" in shown
    for verb in ("eval", "restore", "export-model"):
        assert f"{verb} {result.checkpoint}" in shown
    assert "The trial has not written a log." in shown


def test_the_curves_come_after_the_text_and_the_log_grows(sweep: Path) -> None:
    browser = UiBrowser(sweep)
    layout = json.loads(browser.page("/sweep/sweep/trial/0000aaaa"))
    shown = {"stamp": None, "curves": []}
    stores = {
        c["props"]["id"]: c["props"] for c in layout["props"]["children"] if "id" in c["props"]
    }
    assert stores["trial-curves"].get("children") is None
    shown = stores["trial-shown"]["data"]

    def refresh(curves: list[str]) -> dict[str, Any]:
        return browser.call(
            {START: 1},
            sweep_key="sweep",
            trial_id="0000aaaa",
            trial_shown=shown,
            trial_curve=[({"type": "trial-curve", "tab": name}, None) for name in curves],
        )

    answer = refresh([])
    charts = answer["trial-curves"]["children"]
    titles = [texts_of(chart)[0] for chart in charts]
    assert titles == ["score", "loss", "learning rate", "seconds per epoch", "images per second"]
    figure = charts[1]["props"]["children"][1]["props"]["figure"]
    assert lines_of(figure).keys() == {"train_loss", "val_loss"}
    assert "trial-head" not in answer
    shown = answer["trial-shown"]["data"]
    assert refresh(titles) == {}
    (trial(sweep, 0) / "trial.log").write_text("epoch 1 <b>\x1b[31mred\x1b[0m\n")
    answer = refresh(titles)
    assert texts_of(answer["trial-log"]["children"]) == ["epoch 1 <b>red\n"]
    assert "trial-curves" not in answer


def test_the_end_of_a_long_log(sweep: Path) -> None:
    path = trial(sweep, 0) / "trial.log"
    path.write_bytes(b"first\n" + b"\xff" * 10 + b"line\r\n" * MAX_BYTES + b"a bar\rthe last\n")
    log = page(UiBrowser(sweep), 0)
    assert "first" not in log
    assert "KiB above" in log
    assert log.endswith("line\na bar\nthe last\n")
    path.unlink()
    path.mkdir()
    assert "trial.log: is not a regular file" in page(UiBrowser(sweep), 0)
    path.rmdir()
    (sweep.parent / "secret").write_text("a secret text")
    path.symlink_to(sweep.parent / "secret")
    log = page(UiBrowser(sweep), 0)
    assert "trial.log: is a link out of its directory" in log
    assert "a secret text" not in log


def test_why_a_trial_has_ended(sweep: Path) -> None:
    browser = UiBrowser(sweep)
    failed = page(browser, 1)
    assert "oom after epoch 2" in failed
    assert "CUDA out of memory" in failed
    assert "trial retry" in failed
    assert "by the scheduler" in page(browser, 2)
    assert "The trial has not written a log." in page(browser, 3)
    layout = SweepLayout(sweep)
    record = layout.read_trials()[2]
    record.stopped_by, record.stop_reason = "early_stopping", "no better val_acc for 3 epochs"
    layout.write_trial(record)
    text = "training.early_stopping: no better val_acc for 3 epochs"
    assert text in page(UiBrowser(sweep), 2)


def test_where_a_trial_comes_from(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=4, space=ONE_KEY, tune={"repeats": 2}).write()
    layout = SweepLayout(directory)
    record = layout.read_trials()[0]
    record.lineage = [
        {"epoch": 3, "donor": trial(directory, 2).name, "values": record.values},
        {"epoch": 5, "donor": "a_trial_that_is_gone", "values": record.values},
    ]
    record.weights = StartWeights("0003aaaa", 7, "best.pt")
    layout.write_trial(record)
    shown = page(UiBrowser(directory), 0)
    assert "Copied \n0002aaaa\n after epoch 3\n, \na_trial_that_is_gone\n after epoch 5" in shown
    assert "Started from the weights of \n0003aaaa\n, epoch 7" in shown
    assert "Same configuration: \n0001aaaa" in shown


def test_the_classes_of_a_trial(sweep: Path) -> None:
    path = trial(sweep, 0) / "config.yaml"
    path.write_text(
        path.read_text().replace("val_split: 0.2", 'val_split: 0.2\n  classes: ["<b>", dog]')
    )
    epoch = (load(sweep).find("0000").best or {})["epoch"]
    row = {
        "epoch": epoch,
        "val_recall_per_class": [0.75, 0.5],
        "val_confusion_matrix": [[3, 1], [2, 2]],
    }
    (trial(sweep, 0) / "classes.jsonl").write_text(json.dumps(row) + "\n")
    browser = UiBrowser(sweep)
    assert "recall, validation images\ndog\n0.5\n<b>\n0.75" in page(browser, 0)
    layout = browser.page("/sweep/sweep/trial/0000aaaa")
    assert '"type": "heatmap"' in layout
    assert "&lt;b&gt; as dog: 1 image, 25.0%" in layout
    assert f"Confusion matrix, validation images, after epoch {epoch}" in layout


def test_classes_without_a_matrix_have_the_most_frequent_mistakes(sweep: Path) -> None:
    epoch = (load(sweep).find("0000").best or {})["epoch"]
    recalls = {"val_recall_per_class": [0.5] * 203}
    row = {"epoch": epoch, **recalls, "val_confusions": [[202, 7, 9]]}
    (trial(sweep, 0) / "classes.jsonl").write_text(json.dumps(row) + "\n")
    shown = page(UiBrowser(sweep), 0)
    assert "199\n0.5\n3 more." in shown
    assert "The matrix of more than 200 classes is not kept." in shown
    assert "Most frequent mistakes, validation images" in shown
    assert "classified as\nimages\n202\n7\n9" in shown


@pytest.mark.parametrize(
    "columns",
    [
        {"val_recall_per_class": None},
        {"val_recall_per_class": [0.5], "val_confusion_matrix": [[1, 0], [0, 1]]},
        {"val_confusion_matrix": [[1, 2], [3]]},
        {"val_confusions": [[0, 1]]},
        {"val_recall_per_class": [0.5, "high"]},
    ],
)
def test_damaged_classes_are_left_out(sweep: Path, columns: dict[str, Any]) -> None:
    epoch = (load(sweep).find("0000").best or {})["epoch"]
    test_columns = {"test_recall_per_class": [0.25, 0.125]}
    path = trial(sweep, 0) / "classes.jsonl"
    path.write_text(json.dumps({"epoch": epoch, **columns, **test_columns}) + "\n")
    shown = page(UiBrowser(sweep), 0)
    assert "recall, test images\n1\n0.125\n0\n0.25" in shown
    assert "validation images" not in shown


def test_a_page_that_cannot_be_built_says_why(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sweeps.ui.pages.trial.config_parts", lambda *_: [][1])
    assert "IndexError" in page(UiBrowser(sweep), 0)
    assert "IndexError" in caplog.text


def test_a_config_that_is_a_link_to_elsewhere_is_not_read(sweep: Path) -> None:
    browser = UiBrowser(sweep)
    assert "Trial 0000aaaa" in page(browser, 0)
    path = trial(sweep, 0) / "config.yaml"
    path.rename(sweep.parent / "config.yaml")
    path.symlink_to(sweep.parent / "config.yaml")
    assert "config.yaml: is a link out of its directory" in page(browser, 0)
    query = "?trials=0000aaaa,0001aaaa"
    assert "is a link out of its directory" in browser.page("/sweep/sweep/compare", query)


def test_damaged_and_unknown_trials(sweep: Path) -> None:
    (trial(sweep, 0) / "metrics.jsonl").write_text("{\n")
    (trial(sweep, 0) / "config.yaml").write_text("model: [")
    shown = page(UiBrowser(sweep), 0)
    assert "metrics.jsonl" in shown
    assert "config.yaml" in shown
    for name in ("none", "..%2f..%2fetc", "<script>"):
        assert "There is no such trial." in UiBrowser(sweep).page(f"/sweep/sweep/trial/{name}")
