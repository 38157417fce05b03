"""Sphinx configuration of the documentation: `sphinx-build -W docs docs/_build`."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

from sweeps import __version__

DOCS = Path(__file__).parent
PROJECT = DOCS.parent
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\./[^)#\s]+)(?:#[^)]*)?\)")

NAME = re.compile(r"(?<![`:\w])`([^`]+)`(?![`_])")

project = "tune-sweeps"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4
smartquotes = False

html_theme = "furo"
html_title = "tune-sweeps"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True


def name_files_of_the_project(app: Sphinx, page: str, content: list[str]) -> None:
    """Writes links to files outside `docs` as text, because the site does not have them.

    Args:
        app: The build.
        page: The page's name, without its suffix.
        content: The page's text, changed in place.
    """
    directory = Path(app.srcdir, page).parent

    def as_text(match: re.Match[str]) -> str:
        path = (directory / match[2]).resolve()
        if path.is_relative_to(DOCS) or not path.is_relative_to(PROJECT):
            return match[0]
        name = path.relative_to(PROJECT).as_posix()
        text = match[1].strip("`")
        return f"`{name}`" if name.endswith(text) else f"{match[1]} (`{name}`)"

    content[0] = LINK.sub(as_text, content[0])


def to_restructured_text(
    _app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]
) -> None:
    """Converts the Markdown of a docstring: names in single backticks, and fenced code.

    Args:
        lines: The docstring, changed in place.
    """
    result, is_code = list[str](), False
    for line in lines:
        text, margin = line.strip(), line[: len(line) - len(line.lstrip())]
        if text.startswith("```"):
            is_code = not is_code
            result += [f"{margin}.. code-block:: {text.strip('`')}", ""] if is_code else [""]
        elif is_code:
            result.append(f"   {line}" if text else "")
        else:
            result.append(NAME.sub(r"``\1``", line))
    lines[:] = result


def setup(app: Sphinx) -> None:
    """Connects the functions above."""
    app.connect("source-read", name_files_of_the_project)
    app.connect("autodoc-process-docstring", to_restructured_text, priority=400)
