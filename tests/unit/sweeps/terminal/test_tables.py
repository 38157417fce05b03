"""Cells that are shortened where a table would be wider than the terminal."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from sweeps.terminal.formatting import make_table
from sweeps.terminal.tables import ShortenedText, break_heading, shorten, wrap_line


def render(*names: str, width: int, encoding: str = "utf-8") -> list[str]:
    """Returns the rows of a table with a name and two columns that must stay."""
    table = make_table("sweep", "state", "trials", shortened={"sweep"})
    for name in names:
        table.add_row(ShortenedText(name), "finished", "16/16")
    buffer = io.BytesIO()
    file = io.TextIOWrapper(buffer, encoding=encoding, newline="")
    Console(file=file, width=width, color_system=None).print(table)
    file.flush()
    lines = buffer.getvalue().decode(encoding).splitlines()
    assert max(map(cell_len, lines)) <= width
    return [line for line in lines if "16/16" in line]


def test_a_long_name_is_shortened_in_its_middle_and_keeps_all_columns() -> None:
    long, short = render("digits_" + "x" * 100 + "_last", "mnist", width=40)
    assert long.split()[0].startswith("digits_xx")
    assert "…" in long
    assert long.split()[0].endswith("_last")
    assert long.split()[1:] == ["finished", "16/16"]
    assert short.split() == ["mnist", "finished", "16/16"]


def test_a_table_that_fits_is_not_shortened() -> None:
    assert render("x" * 60, width=100)[0].split() == ["x" * 60, "finished", "16/16"]


def test_without_unicode_the_ellipsis_is_three_dots() -> None:
    (row,) = render("digits_" + "x" * 100, width=40, encoding="ascii")
    assert "x...x" in row


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abcdefgh", 8, "abcdefgh"),
        ("abcdefgh", 7, "abc…fgh"),
        ("abcdefgh", 6, "abc…gh"),
        ("abcdefgh", 1, "…"),
    ],
)
def test_the_kept_parts_are_the_beginning_and_the_end(text: str, width: int, shown: str) -> None:
    assert shorten(text, width, "…") == shown


@pytest.mark.parametrize("width", range(1, 12))
def test_wide_characters_do_not_exceed_the_width(width: int) -> None:
    assert cell_len(shorten("模型模型模型", width, "…")) <= width


def test_a_heading_is_broken_after_its_separators() -> None:
    assert break_heading("optimizer.learning_rate_") == "optimizer.\nlearning_\nrate_"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("20 of 24 ended, 3 running", ["20 of 24 ended,", "  3 running"]),
        ("  a: {b: 1, c: long_word}", ["  a: {b: 1,", "  c: long_word}"]),
        ("short", ["short"]),
        ("experiments/one/two/three x", ["experiments/one/two/three", "  x"]),
    ],
)
def test_a_line_is_broken_between_words_but_not_behind_a_key_or_a_number(
    line: str, expected: list[str]
) -> None:
    assert wrap_line(line, 16, 2) == expected
