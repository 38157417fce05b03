"""Every guarantee of docs/how_it_works.md names tests that exist and need no GPU.

The suite runs these tests in their own files. This file only checks the table.
"""

import ast
import re
from pathlib import Path

import pytest

from tests.support.source_files import syntax_tree

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "how_it_works.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.partition("## Guarantees")[2].splitlines() if line.startswith("| ")]


def test_the_table_has_its_rows() -> None:
    assert len(ROWS) > 11


@pytest.mark.parametrize("row", ROWS[1:])
def test_a_guarantee_names_tests_that_exist_and_need_no_gpu(row: str) -> None:
    references = re.findall(r"`([\w/]+\.py)::(\w+)`", row)
    assert references
    for file, name in references:
        source = (TESTS / file).read_text(encoding="utf-8")
        body = syntax_tree(TESTS / file).body
        functions = {n.name: n for n in body if isinstance(n, ast.FunctionDef)}
        assert name.startswith("test_")
        assert name in functions, f"{file} has no {name}"
        marks = " ".join(ast.unparse(mark) for mark in functions[name].decorator_list)
        assert not re.search(r"\b(skip|gpu)\b", marks), f"{file}::{name} is not always run"
        assert not re.search(r"^pytestmark = .*\b(skip|gpu)\b", source, re.MULTILINE), file
