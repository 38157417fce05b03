"""The confusion matrix as a figure."""

from __future__ import annotations

import html
import re

from sweeps.report.class_data import ConfusionMatrix, SplitClasses
from sweeps.report.class_tables import classes_section
from sweeps.ui.figures.classes import MAX_HEIGHT, matrix_figure
from tests.support.figure_data import unpack
from trainable.artifacts.class_metrics import MAX_NUMBERED_CLASSES

COUNTS = [[3, 1, 0], [0, 0, 0], [1, 0, 15]]
NAMES = ["cat", "<b>&", "a\nlong name of a class that is cut"]


def test_every_cell_has_the_text_share_and_names_that_the_report_shows() -> None:
    split = SplitClasses("test", 7, {"confusion_matrix": COUNTS}, NAMES)
    assert split.matrix is not None
    figure = matrix_figure(split.matrix, "test")
    (heatmap,) = figure["data"]
    table = classes_section([split])
    cells = re.findall(r'<td style="--share:([\d.]+)" title="([^"]*)"[^>]*>(\d*)</td>', table)
    texts = [text for row in heatmap["customdata"] for text in row]
    assert [html.unescape(title) for _, title, _ in cells] == [html.unescape(t) for t in texts]
    assert [number for *_, number in cells] == [text for row in heatmap["text"] for text in row]
    assert texts[:4] == [
        "cat as cat: 3 images, 75.0%",
        "cat as &lt;b&gt;&amp;: 1 image, 25.0%",
        r"cat as a\nlong name of a class that is cut: 0 images, 0.0%",
        "&lt;b&gt;&amp; as cat: 0 images, 0.0%",
    ]
    assert texts[8].endswith(": 15 images, 93.8%")
    heads = re.findall(r'<th scope="row"[^>]*>([^<]*)</th>', table)
    shown = figure["layout"]["yaxis"]["ticktext"]
    assert [html.unescape(head) for head in heads] == [html.unescape(tick) for tick in shown]
    assert shown == figure["layout"]["xaxis"]["ticktext"]
    assert [f"{share:.3f}" for share in unpack(heatmap["z"])] == [share for share, *_ in cells]


def test_a_matrix_of_many_classes_has_no_numbers_and_no_names_beside_it() -> None:
    count = MAX_NUMBERED_CLASSES + 1
    matrix = ConfusionMatrix([[1] * count for _ in range(count)], list(map(str, range(count))))
    figure = matrix_figure(matrix, "val")
    (heatmap,) = figure["data"]
    assert not {"text", "texttemplate"} & heatmap.keys()
    assert "ticktext" not in figure["layout"]["xaxis"]
    assert heatmap["customdata"][30][2] == "30 as 2: 1 image, 3.2%"
    assert figure["layout"]["height"] == MAX_HEIGHT
