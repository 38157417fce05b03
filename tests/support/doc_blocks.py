"""Reads the fenced blocks of the documentation with the marks above them.

A mark is an HTML comment directly above a block, such as `<!-- other: wandb -->`; tests/README.md
lists them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *(p for p in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in p.parts),
]
LANGUAGES = {"json", "python", "sh", "text", "yaml"}
MARKS = {"file", "in", "other", "running", "slow", "tested", "with"}
_COMMENT = re.compile(r"<!--\s*(\w+)(?::\s*(.*?))?\s*-->")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    """Number of its first line of text, counted from 1."""
    language: str
    """The first word behind the fence; empty if there is none."""
    text: str
    marks: dict[str, str] = field(default_factory=dict)

    @property
    def is_slow(self) -> bool:
        """Whether it runs in the slow test only."""
        return bool({"running", "slow"} & set(self.marks))

    @property
    def place(self) -> str:
        """Page and line, as a test's name."""
        page = self.page
        if page.is_relative_to(ROOT):
            page = page.relative_to(ROOT)
        return f"{page.as_posix()}:{self.line}"


@cache
def parse_blocks(text: str, page: Path) -> tuple[Block, ...]:
    """Returns the fenced blocks of a page's text, in order.

    Args:
        text: The page.
        page: Its path, for messages.
    """
    blocks = []
    marks: dict[str, str] = {}
    for token in MarkdownIt().parse(text):
        if token.type == "html_block":
            marks |= {match[1]: match[2] or "" for match in _COMMENT.finditer(token.content)}
            continue
        if token.type == "fence" and token.map is not None:
            language = token.info.split()[0] if token.info else ""
            blocks.append(Block(page, token.map[0] + 2, language, token.content, marks))
        marks = {}
    return tuple(blocks)


def list_blocks(*languages: str) -> list[Block]:
    """Lists the blocks of all pages that are in one of these languages."""
    blocks = [b for page in PAGES for b in parse_blocks(page.read_text("utf-8"), page)]
    return [block for block in blocks if block.language in languages]
