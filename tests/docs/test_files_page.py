"""docs/reference/files.md has every file and key; test_sweep.py compares it with real sweeps."""

import dataclasses
from collections.abc import Collection
from pathlib import Path

import pytest

from sweeps.results.cleanup import TUNE_SWEEP_FILES, TUNE_TRIAL_FILES
from sweeps.results.loaded_sweep import load
from sweeps.results.ranking import ranking_columns
from sweeps.steering.request import Answer, Request
from sweeps.sweep_dir import layout
from sweeps.sweep_dir.event_log import Event
from sweeps.sweep_dir.records import Failure, SweepRecord, TrialRecord
from sweeps.trials.memory_facts import MemoryFact
from tests.support.doc_files import REFERENCE, ROOT, first_columns, undocumented
from trainable.artifacts import names
from trainable.artifacts.metrics import NUMBERS

TEXT = (REFERENCE / "files.md").read_text("utf-8")
COLUMNS = first_columns("files.md")
GOLDEN = ROOT / "tests" / "golden" / "finished"


def fields(kind: type) -> set[str]:
    aliases = {"ignored_failures": "forgiven"}
    return {aliases.get(field.name, field.name) for field in dataclasses.fields(kind)}


@pytest.mark.parametrize(
    ("section", "keys"),
    [
        ("sweep.json", fields(SweepRecord)),
        ("trial.json", fields(TrialRecord)),
        ("events.jsonl", fields(Event)),
        ("metrics.jsonl", {"epoch", "device", "values", *NUMBERS}),
        ("Requests and answers", fields(Request) | fields(Answer)),
    ],
)
def test_the_keys_of_a_file_are_complete(section: str, keys: Collection[str]) -> None:
    assert sorted(COLUMNS[section]) == sorted(keys)


def test_keys_inside_of_sentences_are_complete() -> None:
    for key in {*fields(Failure), *fields(MemoryFact)}:
        assert f"`{key}`" in TEXT


def test_the_columns_of_trials_csv_are_in_order() -> None:
    columns = ranking_columns(load(GOLDEN).results, "val_acc")
    columns.remove("training.batch_size")
    shown = [
        c for c in COLUMNS["trials.csv"] if c not in {"configuration", "repeat", "final", "added"}
    ]
    assert shown == columns


def test_every_name_of_a_file_is_on_the_page() -> None:
    kinds = ("_FILE", "_CSV", "_CONFIG", "_DATABASE", "_FOLDER", "_TABLE", "_FILES", "_DIRECTORY")
    constants = {
        value
        for module in (layout, names)
        for name, value in vars(module).items()
        if isinstance(value, str) and (name.endswith(kinds) or name in {"REPORT", "REQUESTS"})
    }
    assert len(constants) > 20
    missing = {name for name in constants if name.replace("epoch_*", "epoch_NNNN") not in TEXT}
    assert missing == set()
    tune = set(COLUMNS["Ray Tune's own files"])
    assert set(TUNE_SWEEP_FILES) <= tune
    assert set(TUNE_TRIAL_FILES) - {"checkpoint_[0-9]*", "error.*"} <= tune


def test_a_sweep_has_no_file_that_the_page_lacks(tmp_path: Path) -> None:
    assert undocumented(GOLDEN) == []
    (tmp_path / "trial.json").touch()  # a trial's file outside of a trial's directory
    (tmp_path / "new.json").touch()
    assert undocumented(tmp_path) == ["new.json", "trial.json"]
