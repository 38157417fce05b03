"""Tests of `sweeps.init.data_source`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sweeps.init.data_source import read_source
from tests.support.image_folders import touch
from tests.support.label_tables import write_table
from trainable.errors import DataError


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "section"),
    [
        ("digits", {"name": "digits"}),
        ("cifar10", {"name": "cifar10", "root": "./data"}),
        ("synthetic", {"name": "synthetic"}),
        ("my_data:scans", {"name": "my_data:scans"}),
        ("photos", {"name": "image_folder", "root": "photos"}),
        ("./photos/", {"name": "image_folder", "root": "photos"}),
        (".", {"name": "image_folder", "root": "."}),
        ("~/photos", {"name": "image_folder", "root": "HOME/photos"}),
        ("photos/data.npz", {"name": "arrays", "root": "photos", "file": "data.npz"}),
        ("data.PT", {"name": "arrays", "root": ".", "file": "data.PT"}),
    ],
)
def test_a_text_names_a_data_set_in_words_that_hold_where_the_user_stands(
    text: str, section: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path, "photos/data.npz", "data.PT")
    wanted = {key: value.replace("HOME", str(tmp_path)) for key, value in section.items()}
    assert read_source(text) == (wanted, [])


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_the_columns_of_a_table_are_recognised(ending: str, tmp_path: Path) -> None:
    write_table(
        tmp_path / f"t{ending}", ("Image", "id", "species", "patient_id"), [("a", 1, "x", 2)]
    )
    section, notes = read_source(f"t{ending}")
    assert section == {
        "name": "table",
        "root": ".",
        "file": f"t{ending}",
        "path_column": "Image",
        "label_column": "species",
        "group_column": "patient_id",
    }
    assert (
        notes[0] == "dataset.path_column is Image; change it with --set dataset.path_column=NAME"
    )
    assert len(notes) == 3


def test_a_table_with_the_usual_columns_needs_no_keys(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", ("path", "label", "split", "group"), [("a", 1, "train", 1)])
    section, notes = read_source("t.csv")
    assert section == {"name": "table", "root": ".", "file": "t.csv", "group_column": "group"}
    assert notes == []


def test_a_built_in_name_wins_over_a_folder_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    section, notes = read_source("digits")
    assert section["name"] == "digits"
    assert notes == ["--data digits is the built-in data set; the folder is ./digits"]
    assert read_source("./digits")[0]["name"] == "image_folder"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cifar", 'there is no file or folder cifar; did you mean "cifar10"?'),
        ("photoz", "there is no file or folder photoz"),
        ("missing.csv", "there is no file or folder missing.csv"),
        ("notes.txt", "found the file notes.txt"),
        ("s3://bucket/photos", "must be a path on this machine, found s3://bucket/photos"),
    ],
)
def test_what_is_no_data_set_is_refused_with_what_there_may_be(
    text: str, message: str, tmp_path: Path
) -> None:
    touch(tmp_path, "notes.txt")
    with pytest.raises(DataError) as raised:
        read_source(text)
    assert message in str(raised.value)
