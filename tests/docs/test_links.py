"""Every link of the documentation leads to a file and a heading; no network is used.

The build of the site with -W, a stage of .ci/run, resolves the same links as Sphinx does.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt

from tests.support.doc_blocks import PAGES, ROOT

DOCS = ROOT / "docs"
LINKING = [
    *PAGES,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "tests").rglob("README.md")),
]
LINKED_LEVELS = {"h1", "h2", "h3", "h4"}
"""Headings that can be linked: `myst_heading_anchors` in docs/conf.py."""
MENTIONING = ("sweeps", "trainable", "tests", "configs", ".ci")
SUFFIXES = {".py", ".md", ".yaml", ".sh", ".json", ""}


class Link(NamedTuple):
    """A link of a page."""

    page: Path
    line: int
    target: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}: {self.target}"


@cache
def parse(page: Path) -> tuple[list[Link], frozenset[str]]:
    """Returns the links of a page and its anchors, as a code host makes them."""
    links: list[Link] = []
    anchors: list[str] = []
    slugs: Counter[str] = Counter()
    tokens = MarkdownIt().enable("table").parse(page.read_text("utf-8"))
    for position, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag in LINKED_LEVELS:
            slug = to_slug(tokens[position + 1].content)
            anchors.append(f"{slug}-{slugs[slug]}" if slugs[slug] else slug)
            slugs[slug] += 1
        for child in token.children or []:
            target = child.attrGet("href") or child.attrGet("src")
            if target is not None:
                links.append(Link(page, (token.map or [0])[0] + 1, str(target)))
    return links, frozenset(anchors)


def to_slug(heading: str) -> str:
    """Returns the anchor of a heading, as GitHub, GitLab and MyST make it."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def problems(link: Link) -> Iterator[str]:
    """Yields what is wrong with a link."""
    parts = urlsplit(link.target)
    if parts.scheme:
        if parts.scheme != "https" or "." not in (parts.hostname or "") or " " in link.target:
            yield "not a well-formed https address"
        return
    path = link.page
    if parts.path:
        path = (link.page.parent / unquote(parts.path)).resolve()
    if parts.path.startswith("/") or not path.is_relative_to(ROOT):
        yield "leads out of the project"
    elif not path.exists():
        yield "there is no such file"
    elif path.is_dir() and link.page.is_relative_to(DOCS):
        yield "a directory, which the site does not have"
    elif parts.fragment and path.suffix == ".md" and parts.fragment not in parse(path)[1]:
        yield "there is no such heading"


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [f"{link}: {text}" for link in parse(page)[0] for text in problems(link)] == []


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("reference/search_fil.md", "there is no such file"),
        ("reference/search_file.md#spaces", "there is no such heading"),
        ("#nowhere", "there is no such heading"),
        ("../../other/README.md", "leads out of the project"),
        ("http://docs.ray.io/en/latest", "not a well-formed https address"),
        ("https://localhost/page", "not a well-formed https address"),
        ("images", "a directory, which the site does not have"),
    ],
)
def test_a_wrong_link_is_noticed(target: str, problem: str) -> None:
    assert list(problems(Link(DOCS / "index.md", 1, target))) == [problem]


def test_the_front_page_links_every_page_of_the_site() -> None:
    linked = {(DOCS / link.target).resolve() for link in parse(DOCS / "index.md")[0]}
    pages = {page for page in PAGES if page.is_relative_to(DOCS)} - {DOCS / "index.md"}
    assert sorted(pages - linked) == []


def test_pages_that_files_mention_exist() -> None:
    """Comments, docstrings, messages and tests name pages by their path in the project."""
    files = [p for folder in MENTIONING for p in (ROOT / folder).rglob("*") if p.is_file()]
    mentions = [
        (path, page)
        for path in [*LINKING, *files]
        if path.suffix in SUFFIXES and "golden" not in path.parts
        for page in re.findall(r"\bdocs/[\w/]+\.md\b", path.read_text("utf-8", "replace"))
    ]
    assert len(mentions) > 10
    assert [
        f"{path.relative_to(ROOT)}: {p}" for path, p in mentions if not (ROOT / p).exists()
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_has_an_open_place(page: Path) -> None:
    assert re.findall(r"\b(?:PENDING|TODO)\b", page.read_text("utf-8")) == []
