"""Sweeps of earlier versions are read although their files name what was removed since."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeps.results.stored_spec import open_sweep
from sweeps.spec.search_algorithms import REMOVED, _note_removed
from tests.integration.commands import invoke

GOLDEN = Path(__file__).parents[3] / "golden" / "finished"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A sweep directory that an earlier version wrote."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "stored"))


def change(directory: Path, section: str, **values: Any) -> None:
    path = directory / "search.yaml"
    data = yaml.safe_load(path.read_text())
    data[section] = {**data[section], **values}
    path.write_text(yaml.safe_dump(data))


@pytest.mark.parametrize("name", REMOVED)
@pytest.mark.parametrize("arguments", [{}, {"n_initial_points": 3}])
def test_a_removed_search_algorithm_is_read_as_the_nearest(
    name: str, arguments: dict[str, Any], stored: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(stored, "tune", search_alg={"name": name, **arguments})
    _note_removed.cache_clear()
    with caplog.at_level(logging.WARNING):
        spec, records = open_sweep(stored)
        open_sweep(stored)  # `status --watch` reads it again and again
    nearest = REMOVED[name][1]
    assert spec.tune.search_alg.name == nearest
    assert len(records) == 3
    (line,) = caplog.messages
    assert line.startswith(f"note: tune.search_alg was {name}, ")
    assert line.endswith(f"further trials are suggested by {nearest}")


def test_a_sweep_with_removed_parts_is_shown(stored: Path) -> None:
    change(stored, "tune", search_alg="hyperopt")
    change(stored, "hooks", on_finish="https://example.org/done")
    shown = invoke("best", stored)
    assert shown.exit_code == 0, shown.stderr
    assert "0.6875" in shown.stdout
