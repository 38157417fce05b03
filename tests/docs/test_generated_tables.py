"""The tables of keys in docs/ are those that docs/generate_tables.py makes from the models."""

from pathlib import Path

import pytest

from tests.support.doc_scripts import load_script

ROOT = Path(__file__).parents[2]


GENERATOR = load_script("generate_tables")


@pytest.mark.parametrize("page", GENERATOR.PAGES)
def test_the_tables_of_a_page_are_current(page: str) -> None:
    text = (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8")
    schemas = GENERATOR.Schemas(GENERATOR.PAGES[page]())
    assert GENERATOR.generate(text, schemas) == text, "run python docs/generate_tables.py"


def test_a_key_that_a_page_lacks_is_added() -> None:
    text = "## `seed`\n\n| key | type | default | example | meaning |\n|---|---|---|---|---|\n"
    schemas = GENERATOR.Schemas(GENERATOR.training_schema(with_nulls=False))
    rows = GENERATOR.generate(text + "| `value` | old |\n\nEnd.\n", schemas).splitlines()
    assert [row.split("`")[1] for row in rows[4:7]] == ["value", "enabled", "deterministic"]
    assert rows[4].startswith("| `value` | whole number, at least 0 | `42` | `7` | ")
    assert rows[-1] == "End."
