"""The classes of the best trial in `report.html`."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

from sweeps.report.class_data import SplitClasses, read_splits
from sweeps.report.class_tables import classes_section
from sweeps.report.data.island import report_data
from sweeps.report.page import write_report
from sweeps.results.loaded_sweep import load
from tests.support.fake_sweeps import ONE_KEY, FakeSweep
from trainable.artifacts.class_metrics import MAX_NUMBERED_CLASSES
from trainable.artifacts.names import CLASSES_FILE


def write_sweep(directory: Path, columns: dict[str, object]) -> Path:
    """Writes a sweep whose best trial has these columns after every epoch."""
    FakeSweep(directory, trials=3, space=ONE_KEY, tune={}).write()
    best = load(directory).best
    assert best is not None
    config = best.directory / "config.yaml"
    names = "classes: [cat, dog, <b>]"
    config.write_text(config.read_text().replace("val_split: 0.2", f"val_split: 0.2\n  {names}"))
    rows = [{"epoch": row["epoch"], **columns} for row in best.rows]
    (best.directory / CLASSES_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


def test_the_page_has_recall_and_matrix_of_both_splits_with_the_names(tmp_path: Path) -> None:
    directory = write_sweep(
        tmp_path / "sweep",
        {
            "val_recall_per_class": [0.75, None, 0.25],
            "val_confusion_matrix": [[3, 1, 0], [0, 0, 0], [2, 1, 1]],
            "test_recall_per_class": [0.5, 1.0, 0.0],
            "test_confusion_matrix": [[41, 41, 0], [0, 42, 0], [43, 0, 0]],
        },
    )
    page = write_report(directory).read_text(encoding="utf-8")
    section = page.split('id="classes"')[1].split("</section>")[0]
    assert re.findall(r"<td>([^<]+)</td>", section) == [
        "&lt;b&gt;", "0.25", "0", "cat", "0.75", "0.5", "dog", "no images", "1",
    ]  # fmt: skip
    assert "Confusion matrix, validation images, after epoch" in section
    _, test_matrix = section.split("Confusion matrix, test images, after epoch")
    cells = re.findall(r'<td style="--share:([\d.]+)"[^>]*>(\d*)</td>', test_matrix)
    assert cells == [
        ("0.500", "41"), ("0.500", "41"), ("0.000", ""),
        ("0.000", ""), ("1.000", "42"), ("0.000", ""),
        ("1.000", "43"), ("0.000", ""), ("0.000", ""),
    ]  # fmt: skip
    assert 'title="&lt;b&gt; as cat: 43 images, 100.0%"' in test_matrix
    assert re.findall(r'<th scope="row"[^>]*>([^<]+)<', test_matrix) == ["cat", "dog", "&lt;b&gt;"]
    val, test = read_splits(load(directory).best)
    assert val.epoch == test.epoch


def test_a_matrix_of_many_classes_is_data_for_the_script(tmp_path: Path) -> None:
    size = MAX_NUMBERED_CLASSES + 1
    matrix = [[int(x == y) for x in range(size)] for y in range(size)]
    directory = write_sweep(tmp_path / "sweep", {"val_confusion_matrix": matrix})
    page = write_report(directory).read_text(encoding="utf-8")
    assert 'data-matrix="0"' in page
    assert "<noscript><p>This matrix needs JavaScript.</p></noscript>" in page
    sweep = load(directory)
    data = report_data(sweep, read_splits(sweep.best))
    assert data["matrices"][0]["rows"] == matrix
    assert data["matrices"][0]["labels"][:4] == ["cat", "dog", "<b>", "3"]


def test_many_classes_have_a_table_of_mistakes(tmp_path: Path) -> None:
    directory = write_sweep(tmp_path / "sweep", {"val_confusions": [[0, 2, 9], [999, 1, 4]]})
    page = write_report(directory).read_text(encoding="utf-8")
    section = page.split('id="classes"')[1].split("</section>")[0]
    cells = re.findall(r"<td[^>]*>([^<]+)</td>", section)
    assert cells == ["cat", "&lt;b&gt;", "9", "999", "dog", "4"]
    assert "The matrix of more than 200 classes is not kept." in section


def test_each_large_matrix_has_the_number_of_its_data() -> None:
    size = MAX_NUMBERED_CLASSES + 1
    large = {"confusion_matrix": [[1] * size for _ in range(size)]}
    section = classes_section([SplitClasses("val", 1, {}, []), SplitClasses("test", 1, large, [])])
    assert "The training config has no confusion_matrix in its metrics." in section
    assert re.findall('data-matrix="(\\d+)"', section) == ["0"]


def test_odd_names_are_shown_as_they_are(tmp_path: Path) -> None:
    matrix = [[1, 2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    columns = {"val_confusion_matrix": matrix, "val_recall_per_class": [0.1, 0.2, 0.3, 0.4]}
    directory = write_sweep(tmp_path / "sweep", columns)
    best = load(directory).best
    assert best is not None
    names = ["</script><script>alert(1)</script>", "line\nbreak", "x" * 200, "na\u00efve, \u732b"]
    config = best.directory / "config.yaml"
    config.write_text(config.read_text().replace("[cat, dog, <b>]", json.dumps(names)))
    page = write_report(directory).read_text(encoding="utf-8")
    section = page.split('id="classes"')[1].split("</section>")[0]
    assert "<script>alert" not in page
    cells = re.findall(r"<td>([^<]+)</td>", section)
    assert cells[::2] == [html.escape(names[0]), r"line\nbreak", *names[2:]]
    heads = re.findall(r'<th scope="row" title="([^"]*)">([^<]*)</th>', section)
    assert html.unescape(heads[0][0]) == names[0]
    assert [html.unescape(text) for _, text in heads] == [
        "</script><s...)</script>", r"line\nbreak", f"{'x' * 11}...{'x' * 10}", names[3],
    ]  # fmt: skip


def test_without_such_metrics_there_is_no_section(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=3, space=ONE_KEY, tune={}).write()
    assert "Classes of the best trial" not in write_report(directory).read_text(encoding="utf-8")
