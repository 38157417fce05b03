"""Types of plain YAML scalars, close to YAML 1.2's core schema, and PyYAML classes for them.

Reading and writing both use this module, so that they agree.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

MAX_DEPTH = 50
"""Limit of the levels of nesting."""
TOO_DEEP = f"must have at most {MAX_DEPTH} levels of nesting"
TAG = "tag:yaml.org,2002:"
"""Prefix of the tags of plain YAML."""


class Loader(yaml.SafeLoader):
    """Composes nodes; `_SCALARS` defines which plain scalars are numbers."""

    yaml_implicit_resolvers: dict[Any, Any] = {}
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Composes a node; limits the nesting because PyYAML recurses at every level."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = None if parent is None else parent.start_mark
            raise yaml.MarkedYAMLError(None, None, TOO_DEEP, mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class Dumper(yaml.SafeDumper):
    """Quotes every text that YAML 1.1 or this module would read as something else."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Writes every value in full: readers should not need to know YAML's anchors."""
        return True


def _write_text(dumper: Dumper, text: str) -> yaml.ScalarNode:
    """Escapes text with line breaks or control characters: PyYAML's other styles lose some."""
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar(TAG + "str", text, style)


Dumper.add_representer(str, _write_text)

_SCALARS: dict[str, tuple[str, list[str]]] = {
    "null": (r"~|null|Null|NULL|", [*"~nN", ""]),
    "bool": (r"(?i:true|false)", [*"tTfF"]),
    "int": (r"[-+]?(?:0|[1-9][0-9_]*)|0x[0-9a-fA-F]+|0o[0-7]+", [*"-+0123456789"]),
    "float": (
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9_]*)(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        [*"-+.0123456789"],
    ),
    "merge": (r"<<", ["<"]),
}
"""Tag -> pattern of its plain scalars, and the characters that they may begin with."""

for _name, (_pattern, _first) in _SCALARS.items():
    for _class in (Loader, Dumper):
        _class.add_implicit_resolver(TAG + _name, re.compile(rf"(?:{_pattern})\Z"), _first)


def _to_float(text: str) -> float:
    plain = text.lower().replace("_", "")
    return float(plain.replace(".inf", "inf").replace(".nan", "nan"))


def _to_bool(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


CONSTRUCT: dict[str, Callable[[str], Any]] = {
    TAG + "str": str,
    TAG + "null": lambda _: None,
    TAG + "bool": _to_bool,
    TAG + "int": lambda text: int(text.replace("_", ""), 0),
    TAG + "float": _to_float,
    TAG + "merge": str,
}


def read_scalar(text: str) -> Any:
    """Returns the value that an unquoted `text` has in a file; by default the text itself."""
    tag = Loader("").resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    try:
        return CONSTRUCT[tag](text)
    except ValueError:  # an integer of thousands of digits
        return text
