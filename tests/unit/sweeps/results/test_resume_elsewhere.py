"""A sweep of own code with relative paths is resumed where it was started."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from sweeps.results.stored_spec import refuse_other_directory
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import SweepRecord, now


def spec_of(args: dict[str, Any], space: dict[str, Any]) -> SearchSpec:
    config = {
        "dataset": {"name": "my_data:scans", "args": args},
        "model": {"name": "resnet20"},
        "training": {"epochs": 2},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }
    return parse_search({"config": config, "space": space, "tune": {"num_samples": 2}})


@pytest.mark.parametrize(
    ("args", "space", "key"),
    [
        ({"root": "photos"}, {}, "config.dataset.args.root"),
        ({"site": "north", "more": {"files": ["none.csv", "photos"]}}, {}, "more.files"),
        (
            {"root": "none"},
            {"dataset.args.root": {"choice": ["none", "photos"]}},
            "space.dataset.args.root.choice",
        ),
        ({"site": "north", "query": "long " * 2000, "mark": "a\0b"}, {}, None),
    ],
)
def test_an_argument_that_is_a_path_of_the_start_is_refused_elsewhere(
    args: dict[str, Any],
    space: dict[str, Any],
    key: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, other = tmp_path / "the start", tmp_path / "other"
    for directory in (start / "photos", start / "sweep", other / "photos"):
        directory.mkdir(parents=True)
    (start / "resnet20").touch()  # a value of another key is not a path
    layout, spec = SweepLayout(start / "sweep"), spec_of(args, space)
    record = SweepRecord("sweep", "paused", now())
    (start / "sweep" / "search.yaml").touch()
    layout.write_sweep(record)
    monkeypatch.chdir(other)
    # A sweep of an earlier version has no such record.
    refuse_other_directory(spec, layout.directory, record.working_directory)
    record.working_directory = str(start)
    if key is None:
        refuse_other_directory(spec, layout.directory, record.working_directory)
    else:
        with pytest.raises(SweepError) as caught:
            refuse_other_directory(spec, layout.directory, record.working_directory)
        message = str(caught.value)
        assert f"{key}: photos is relative to {start}, where the sweep was started" in message
        words = shlex.split(message.partition("it there: ")[2])
        assert words[:3] == ["cd", str(start), "&&"]
        assert words[-1] == str(layout.directory) or str(layout.directory) in words
    monkeypatch.chdir(start)
    refuse_other_directory(spec, layout.directory, record.working_directory)
    monkeypatch.chdir(other)
    (other / "photos").rmdir()
    (other / "photos").symlink_to(start / "photos")
    refuse_other_directory(spec, layout.directory, record.working_directory)
