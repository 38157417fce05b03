"""The documentation site builds without a warning and loads nothing from a network."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import sweeps
from tests.support.doc_blocks import PAGES, ROOT
from tests.support.doc_files import first_columns
from tests.support.doc_scripts import load_script

DOCS = ROOT / "docs"
LOADS = re.compile(
    r"<(?:script|img|source|iframe|video)[^>]*\ssrc=\"(?P<src>[^\"]+)\""
    r"|<link[^>]*\shref=\"(?P<href>[^\"]+)\""
)
FROM_CSS = re.compile(r"(?:url\(|@import )['\"]?(?P<url>[^'\")]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(DOCS), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return target


@pytest.mark.slow
def test_the_site_has_every_page_and_loads_only_its_own_files(site: Path) -> None:
    for page in PAGES:
        if page.is_relative_to(DOCS):
            assert (site / page.relative_to(DOCS)).with_suffix(".html").exists()
    loaded = [
        (path.relative_to(site), match[1] or match[2])
        for path in site.rglob("*.html")
        for match in LOADS.finditer(path.read_text("utf-8"))
    ]
    loaded += [
        (path.relative_to(site), match["url"])
        for path in site.rglob("*.css")
        for match in FROM_CSS.finditer(path.read_text("utf-8"))
    ]
    assert len(loaded) > 100
    assert [item for item in loaded if re.match(r"(https?:)?//", item[1])] == []


@pytest.mark.slow
def test_the_python_page_has_the_texts_of_the_docstrings(site: Path) -> None:
    page = (site / "reference" / "python_api.html").read_text("utf-8")
    for name in sweeps.__all__:
        assert f'id="sweeps.{name}"' in page or name == "errors"
    for method in ("model", "predict", "resume", "extend", "retry", "add", "wait"):
        assert f'id="sweeps.Sweep.{method}"' in page
    assert "```" not in page


def test_the_table_of_the_python_page_has_all_names() -> None:
    names = {name.partition("(")[0] for name in first_columns("python_api.md")["Python API"]}
    assert names == set(sweeps.__all__)


@pytest.fixture(scope="module")
def settings() -> ModuleType:
    return load_script("conf")


def test_a_docstring_in_markdown_becomes_what_autodoc_reads(settings: ModuleType) -> None:
    lines = [
        "Runs `sweep run`.",
        "",
        "Example:",
        "    ```python",
        "    x = `1`",
        "    ```",
        "End.",
    ]
    settings.to_restructured_text(None, "", "", None, None, lines)
    assert lines[:4] == ["Runs ``sweep run``.", "", "Example:", "    .. code-block:: python"]
    assert lines[4:] == ["", "       x = `1`", "", "End."]
