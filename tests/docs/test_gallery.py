"""The gallery has one row and one section for each search that ships, with the file's figures."""

import re
from pathlib import Path

import pytest

from sweeps.spec.load import load_search

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
SEARCHES = [CONFIGS / "search.yaml", *sorted((CONFIGS / "searches").glob("*.yaml"))]
TEXT = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
NOT_YET_RUN = "not yet run"


def read_rows() -> dict[str, dict[str, str]]:
    """Reads the table of searches: the path below `configs` -> column -> cell."""
    (table,) = re.findall(r"^\| search \|.*\n(?:\|.*\n)+", TEXT, re.MULTILINE)
    head, _, *lines = [
        [cell.strip() for cell in line[1:].rstrip("|").split("|")] for line in table.splitlines()
    ]
    rows = [dict(zip(head, line, strict=False)) for line in lines]
    return {re.findall(r"\(\.\./configs/(.*)\)", row["search"])[0]: row for row in rows}


ROWS = read_rows()


def read_head(path: Path) -> str:
    """Returns the comment that a file begins with, as one line of text."""
    head = re.match(r"(#.*\n)+", path.read_text(encoding="utf-8"))
    assert head is not None
    return " ".join(head[0].replace("#", " ").split())


def test_every_search_has_a_row_and_every_row_its_search() -> None:
    assert list(ROWS) != []
    assert set(ROWS) == {path.relative_to(CONFIGS).as_posix() for path in SEARCHES}
    for name, row in ROWS.items():
        assert row["search"].startswith(f"[{Path(name).stem}]")


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.stem)
def test_a_row_has_the_figures_of_its_file(path: Path) -> None:
    row, head = ROWS[path.relative_to(CONFIGS).as_posix()], read_head(path)
    assert int(row["trials"]) == load_search(path).trials
    assert (NOT_YET_RUN in head.lower()) == (row["time"] == NOT_YET_RUN)
    if row["time"] == NOT_YET_RUN:
        assert not row["best"]
    else:
        assert re.search(rf"{row['time']}\b", head, re.IGNORECASE)
        assert f"best {row['best']}" in head
        assert re.fullmatch(r"\d+\.\d min", row["CPU time"])


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.stem)
def test_a_search_has_a_section_with_its_command(path: Path) -> None:
    headings = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    assert path.stem in ", ".join(headings).split(", ")
    assert f"\nsweep run configs/{path.relative_to(CONFIGS).as_posix()}\n" in TEXT


def test_its_other_columns_are_filled() -> None:
    for name, row in ROWS.items():
        assert row["shows"], name
        assert row["data, model"], name
        assert row["test"] or row["time"] == NOT_YET_RUN, name
