"""docs/reference/commands.md is current."""

from pathlib import Path
from types import ModuleType

import pytest

from sweeps.cli.main import main
from tests.support.doc_scripts import load_script

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return load_script("generate_commands")


def test_the_page_is_current(generator: ModuleType) -> None:
    text = (ROOT / "docs" / "reference" / "commands.md").read_text("utf-8")
    assert generator.write_page() == text, "run python docs/generate_commands.py"
    for name in main.commands:
        assert f"\n### `sweep {name}`\n" in text


def test_the_page_has_the_options_limits_and_codes_of_a_command(generator: ModuleType) -> None:
    section = generator.write_page().partition("### `sweep predict`")[2].partition("\n### ")[0]
    assert "\nsweep predict [OPTIONS] CHECKPOINT IMAGES...\n" in section
    assert "| `--top N` | The number of most probable classes of each image" in section
    assert "(default `1`, at least 1). |" in section
    assert "[0, 1, 2](#exit-codes)" in section
