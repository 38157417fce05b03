"""Every message that docs/troubleshooting.md quotes is one that the source prints.

`<...>` in a quoted message stands for what is filled in. What remains, cut at marks such as `:`,
must be part of a text in the source.
"""

import ast
import re
from functools import cache

import pytest

from tests.support.doc_blocks import ROOT, parse_blocks
from tests.support.source_files import nodes, sources

PAGE = ROOT / "docs" / "troubleshooting.md"
LEAST_CHARS, LEAST_HALF = 8, 12
"""Length from which a part of a message must be in the source, and of each half of a part."""
LEAST_MESSAGES, QUESTIONS = 36, 12


@cache
def texts_in_source() -> str:
    """The text literals of both packages, one per line."""
    literals = set()
    for path in sources("sweeps", "trainable"):
        for node in nodes(path):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                literals.add(" ".join(node.value.split()))
    return "\n".join(sorted(literals))


def fixed_parts(message: str) -> list[str]:
    """The parts of a quoted message that do not depend on the case."""
    parts = re.split(r"<[^>]*>|[:;(){},]|\]|\[|\n", message)
    return [part.strip(" .\"',") for part in parts if len(part.strip(" .\"',")) >= LEAST_CHARS]


def messages() -> list[str]:
    """The quoted messages: the lines of the text blocks, indented ones with those before."""
    lines: list[str] = []
    for block in parse_blocks(PAGE.read_text("utf-8"), PAGE):
        if block.language == "text":
            for line in block.text.splitlines():
                if line.startswith(" "):
                    lines[-1] += "\n" + line
                else:
                    lines.append(line)
    return lines


def is_printed(part: str) -> bool:
    """Whether a part of a message is in one text of the source, or its two halves are in two."""
    source = texts_in_source()
    halves = [(part[: cut.start()], part[cut.end() :]) for cut in re.finditer(" ", part)]
    return part in source or any(
        min(map(len, pair)) >= LEAST_HALF and all(half in source for half in pair)
        for pair in halves
    )


KEYS = re.compile(r"^[a-z_.]+$")
"""Keys of the files, which messages get from the file."""


@pytest.mark.parametrize("message", messages(), ids=lambda text: text[:60])
def test_a_quoted_message_is_in_the_source(message: str) -> None:
    parts = fixed_parts(message)
    assert parts
    assert [part for part in parts if KEYS.match(part) is None and not is_printed(part)] == []


def test_a_changed_message_is_noticed() -> None:
    (part,) = fixed_parts("<dir> holds a sweep that was <finished>")
    assert not is_printed(part)


def test_the_page_has_the_messages_and_questions_that_it_should() -> None:
    text = PAGE.read_text("utf-8")
    assert len(messages()) >= LEAST_MESSAGES
    assert text.count("\n**") == QUESTIONS
    sections = re.split(r"\n### ", text.partition("## Frequent questions")[0])[1:]
    assert [section.splitlines()[0] for section in sections if "\nWhy: " not in section] == []
