"""A sweep in a notebook: what it shows, that it is escaped, and that it fits any theme."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sweeps import load_sweep
from sweeps.notebook.page import MAX_TRIALS, progress_html
from sweeps.results.progress import TrialProgress, compute_progress
from sweeps.sweep_dir.records import TrialRecord
from tests.support.fake_sweeps import ONE_KEY, FakeSweep

HOSTILE = "<script>alert('&')</script>\x1b[2J"


def text_of(html: str) -> str:
    """Returns the text, after a check that the HTML is well-formed and holds no script."""
    tree = ElementTree.fromstring(html.replace("&nbsp;", " "))
    assert not [node for node in tree.iter() if node.tag.endswith(("script", "img", "style"))]
    assert not re.search(r"""(href|src|url\(|\bon\w+=)""", html)
    return " ".join(filter(None, (part.strip() for part in tree.itertext())))


def test_a_sweep_shows_its_state_ten_trials_and_the_best_score_so_far(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", space=ONE_KEY, states={3: "failed"}).write()
    sweep = load_sweep(directory)
    html = sweep._repr_html_()
    text = text_of(html)
    best = sweep.best
    state = f"finished, 12 of 12 trials ended, best val_acc {best.score:.4f} ({best.id})"
    assert text.startswith(f"sweep : {state} ")
    assert repr(sweep) == f"<Sweep sweep: {state}>"
    ranked = [trial.id for trial in sweep]
    assert re.findall(r"\b\d{4}aaaa\b", text.split("learning_rate")[1]) == ranked[:MAX_TRIALS]
    assert "2 more in .trials" in text
    assert html.count("<svg") == 1
    points = re.search(r'd="((?:M[\d.]+ [\d.]+h0)+)"', html)
    assert points is not None
    assert points[1].count("M") == sum(trial.score is not None for trial in sweep)


def test_text_has_the_colour_of_the_notebook(tmp_path: Path) -> None:
    html = load_sweep(FakeSweep(tmp_path / "sweep").write())._repr_html_()
    assert 'fill="currentColor"' in html
    assert not re.search(r"(?<!-)color:|background:(?!rgba)", html)


def test_all_text_of_the_user_is_escaped(tmp_path: Path) -> None:
    space = {
        "optimizer.name": {"choice": ["sgd", "adamw"]},
        "model.name": {"choice": ["resnet20"]},
    }
    directory = FakeSweep(tmp_path / "sweep", space=space, states={1: "failed"}).write()
    sweep = load_sweep(directory)
    object.__setattr__(sweep.files.record, "name", HOSTILE)
    for trial in sweep.files.results:
        trial.record.values["optimizer.name"] = HOSTILE
    html = sweep._repr_html_() + sweep.best._repr_html_()
    assert "<script" not in html
    assert "\x1b" not in html
    assert "&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;" in html
    text_of(f"<div>{html}</div>")


def test_a_trial_shows_its_values_and_curve(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", states={3: "failed", 5: "pending"}).write()
    sweep = load_sweep(directory)
    best = sweep.best
    text = text_of(best._repr_html_())
    assert text.startswith(f"trial {best.id} : finished, val_acc {best.score:.4f} at epoch ")
    assert repr(best) == (
        f"<Trial {best.id}: finished, val_acc {best.score:.4f} at epoch {best.epoch}>"
    )
    assert all(key in text for key in best.values)
    assert "oom: " in text_of(sweep.trial("0003")._repr_html_())
    pending = sweep.trial("0005")
    assert repr(pending) == "<Trial 0005aaaa: pending, no result>"
    assert "<svg" not in pending._repr_html_()


@pytest.mark.parametrize("trials", [0, 3])
def test_progress_is_a_bar_a_line_and_the_best_trials(trials: int) -> None:
    records = [TrialRecord(f"id{n}", n, f"trial_{n}", {"a.b": HOSTILE}) for n in range(trials)]
    running = [TrialProgress(record, 4, best=0.5, best_epoch=1) for record in records]
    progress = compute_progress(running, total=6, epochs=4, slots=2, mode="max")
    html = progress_html(progress, ["0/6 done", "<b>"], running, "val_acc")
    text = text_of(html)
    assert text.startswith("0/6 done   <b>")
    assert 'aria-valuemax="6"' in html
    assert re.findall(r"\bid\d\b", text) == [record.id for record in records]
