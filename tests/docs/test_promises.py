"""docs/resuming.md names, for each promise, tests that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "resuming.md").read_text(encoding="utf-8")


def test_every_promise_is_held_by_a_test_that_exists() -> None:
    _, _, table = PAGE.partition("## Guarantees")
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    for row in rows:
        held = re.findall(r"`([\w/]+\.py)::(\w+)`", row)
        assert held, row
        for file, name in held:
            source = (TESTS / file).read_text(encoding="utf-8")
            assert f"def {name}(" in source, f"{file}::{name}"
