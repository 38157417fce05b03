"""Reads strict YAML: plain values and the line of every key, or one error with all problems.

PyYAML parses. Differences from its `safe_load` (YAML 1.1) avoid surprises in a config file:

- `1e-4`, `1E5` and `1.` are floats; `1:30`, `010` and dates are text, not numbers and dates.
- Only `true` and `false` (in any case) are booleans; `yes`, `no`, `on` and `off` are text.
- A duplicate key, a key that is not text, a tag that is not plain YAML, an alias inside its own
  anchor and an alias bomb are errors.

Anchors, aliases and merge keys (`<<`) work.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from trainable.config.yaml_resolver import (
    CONSTRUCT,
    MAX_DEPTH,
    TAG,
    TOO_DEEP,
    Dumper,
    Loader,
    read_scalar,
)
from trainable.errors import ConfigError, PathError, Problem
from trainable.uri import expand_home

MAX_BYTES = 1_000_000
"""Limit of a file's size, which a checkpoint passed by mistake exceeds."""
MAX_NODES = 100_000
"""Limit of the number of values after aliases are expanded, against alias bombs."""

PathKey = tuple[str | int, ...]
"""The keys and list positions that lead to a value."""

_Pair = tuple[yaml.Node, yaml.Node]


@dataclass(frozen=True)
class Document:
    """The values of one file and their lines."""

    data: Any
    """Plain values: dict, list, str, int, float, bool, None."""
    lines: Mapping[PathKey, int]
    """1-based line of every key and list item."""
    source: str
    """The file's name in error messages."""


def dotted(path: PathKey) -> str:
    """Formats `("scheduler", "milestones", 1)` as `scheduler.milestones[1]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if step.isprintable() else ascii(step))
    return text


def line_of(document: Document, path: PathKey) -> int | None:
    """Returns the line of a key, or of the nearest section around it."""
    around = (path[:length] for length in range(len(path), 0, -1))
    return next((document.lines[key] for key in around if key in document.lines), None)


@dataclass
class _Builder:
    """Turns nodes into values, collecting lines and problems."""

    source: str
    lines: dict[PathKey, int] = field(default_factory=dict)
    problems: dict[tuple[int, int], Problem] = field(default_factory=dict)
    """By position in the file, so that a problem that an alias repeats is reported once."""
    active: list[yaml.Node] = field(default_factory=list)
    """The containers around the current node."""
    node_count: int = 0

    def report(self, node: yaml.Node, path: PathKey, rule: str) -> None:
        mark = node.start_mark
        problem = Problem(dotted(path), rule, mark.line + 1)
        self.problems.setdefault((mark.line, mark.column), problem)

    def count_nodes(self, nodes: int) -> None:
        self.node_count += nodes
        if self.node_count > MAX_NODES:
            rule = f"must have at most {MAX_NODES} values after its aliases are expanded"
            raise ConfigError(self.source, [Problem("", rule)])

    def enter(self, node: yaml.Node, path: PathKey) -> bool:
        """Pushes a container; returns False if it is an alias of a container around it."""
        if any(node is outer for outer in self.active):
            self.report(node, path, "must not contain itself: an alias inside its own anchor")
            return False
        if len(self.active) >= MAX_DEPTH:
            raise ConfigError(self.source, [Problem("", TOO_DEEP)])
        self.active.append(node)
        return True

    def build(self, node: yaml.Node, path: PathKey) -> Any:
        self.count_nodes(1)
        if isinstance(node, yaml.ScalarNode):
            return self.build_scalar(node, path)
        kind = "map" if isinstance(node, yaml.MappingNode) else "seq"
        if node.tag != TAG + kind:
            self.report(node, path, _describe_unknown_tag(node))
            return None
        return self.build_mapping(node, path) if kind == "map" else self.build_sequence(node, path)

    def build_scalar(self, node: yaml.ScalarNode, path: PathKey) -> Any:
        construct = CONSTRUCT.get(node.tag)
        if construct is None:
            self.report(node, path, _describe_unknown_tag(node))
            return None
        try:
            return construct(node.value)
        except (ValueError, KeyError):
            tag = node.tag.removeprefix(TAG)
            self.report(
                node, path, f"must be what its tag !!{tag} says, found {_format_node(node)}"
            )
            return None

    def build_sequence(self, node: yaml.Node, path: PathKey) -> list[Any]:
        values: list[Any] = []
        if self.enter(node, path):
            for index, item in enumerate(node.value):
                self.lines[*path, index] = item.start_mark.line + 1
                values.append(self.build(item, (*path, index)))
            self.active.pop()
        return values

    def build_mapping(self, node: yaml.Node, path: PathKey) -> dict[str, Any]:
        pairs = self.read_pairs(node, path)
        values: dict[str, Any] = {}
        if self.enter(node, path):
            for key, (key_node, value_node) in pairs.items():
                self.lines[*path, key] = key_node.start_mark.line + 1
                values[key] = self.build(value_node, (*path, key))
            self.active.pop()
        return values

    def read_pairs(self, node: yaml.Node, path: PathKey) -> dict[str, _Pair]:
        """Returns a mapping's key and value nodes by key; its own keys win over merged ones."""
        if not self.enter(node, path):
            return {}
        self.count_nodes(len(node.value))
        own: dict[str, _Pair] = {}
        merged: dict[str, _Pair] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if key_node.tag == TAG + "merge":
                merged = self.read_merged(value_node, path) | merged
            elif key_node.tag != TAG + "str" or not isinstance(key, str):
                self.report(key_node, path, _describe_key_problem(key_node))
            elif key in own:
                first = own[key][0].start_mark.line + 1
                self.report(key_node, (*path, key), f"duplicate key, first in line {first}")
            else:
                own[key] = key_node, value_node
        self.active.pop()
        return merged | own

    def read_merged(self, node: yaml.Node, path: PathKey) -> dict[str, _Pair]:
        """Returns the keys that a merge key adds; the first of several mappings wins."""
        pairs: dict[str, _Pair] = {}
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(source, yaml.MappingNode):
                pairs = self.read_pairs(source, path) | pairs
            else:
                self.report(source, path, "<< must name a mapping or a list of mappings")
        return pairs


def _describe_unknown_tag(node: yaml.Node) -> str:
    return f"must be plain YAML without the tag {node.tag.replace(TAG, '!!')}"


def _describe_key_problem(key_node: yaml.Node) -> str:
    rule = f"a key must be text, found {_format_node(key_node)}"
    is_number = isinstance(key_node, yaml.ScalarNode) and key_node.value
    return rule.replace('"', "") + "; put it in quotes" if is_number else rule


def _format_node(node: yaml.Node) -> str:
    """Formats a node for a message."""
    if isinstance(node, yaml.ScalarNode):
        return f'"{node.value[:60]}"' if node.value else "nothing"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def parse_yaml(text: str, source: str) -> Document:
    """Parses the text of one YAML document whose top level is a mapping.

    Args:
        text: The file's content.
        source: The file's name in error messages.

    Raises:
        ConfigError: The text has a syntax error, or duplicate keys and unknown tags, of which all
            are listed.
    """
    node = _compose(text, source)
    if node is None:
        raise ConfigError(source, [Problem("", "must be a mapping of keys, found nothing")])
    if not isinstance(node, yaml.MappingNode):
        rule = f"must be a mapping of keys, found {_format_node(node)}"
        raise ConfigError(source, [Problem("", rule, node.start_mark.line + 1)])
    builder = _Builder(source)
    data = builder.build(node, ())
    if builder.problems:
        raise ConfigError(source, [problem for _, problem in sorted(builder.problems.items())])
    return Document(data, builder.lines, source)


def parse_value(text: str, source: str) -> Any:
    """Reads a value that was typed on a command line.

    A list, a mapping and a text in quotes are YAML. Numbers, true, false and null are read as in
    a file. Anything else is the text as it was typed: `#`, `: `, `@` and `*` mean nothing in it.

    Args:
        text: The value, without blanks around it.
        source: The value's name in error messages.

    Raises:
        ConfigError: The text has several lines or a control character, is not closed, or goes on
            behind a list, a mapping or a closing quote.
    """
    parse_text(text, source)
    if not text.startswith(("[", "{", '"', "'")):
        return read_scalar(text)
    node = _compose(text, source)
    assert node is not None, "a text that is not empty has a node"
    rest = text[node.end_mark.index :].strip()
    if rest:
        raise ConfigError(source, [Problem("", f"must be one value, found {rest!r} after it")])
    return parse_yaml(f"value: {text}", source).data["value"]


def parse_text(text: str, source: str) -> str:
    """Returns a text that was typed on a command line.

    Raises:
        ConfigError: The text has several lines or a control character.
    """
    if len(text.splitlines()) > 1:
        raise ConfigError(source, [Problem("", f"must be one line, found {text!r}")])
    character = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if character is not None:
        rule = f"character U+{ord(character[0]):04X} is not allowed"
        raise ConfigError(source, [Problem("", rule)])
    return text


def _compose(text: str, source: str) -> yaml.Node | None:
    try:
        return Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        rule = "is not YAML: " + ", ".join(filter(None, [error.context, error.problem]))
        line = None if mark is None else mark.line + 1
        raise ConfigError(source, [Problem("", rule, line)]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        rule = f"is not YAML: character U+{error.character:04X} is not allowed"
        raise ConfigError(source, [Problem("", rule, line)]) from error


def read_yaml(path: str | Path) -> Document:
    """Reads one YAML file whose top level is a mapping.

    Raises:
        ConfigError: The file cannot be read, or `parse_yaml` refuses its text.
    """
    source = str(path)
    try:
        with Path(expand_home(source)).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except PathError as error:
        raise ConfigError(source, [Problem("", str(error))]) from error
    except FileNotFoundError as error:
        raise ConfigError(source, [Problem("", "no such file")]) from error
    except IsADirectoryError as error:
        raise ConfigError(source, [Problem("", "is a directory, not a file")]) from error
    except OSError as error:
        rule = f"cannot be read: {error.strerror}"
        raise ConfigError(source, [Problem("", rule)]) from error
    if len(content) > MAX_BYTES:
        rule = f"must be a YAML file of at most {MAX_BYTES} bytes"
        raise ConfigError(source, [Problem("", rule)])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(source, [Problem("", "must be UTF-8 text", line)]) from error
    return parse_yaml(text, source)


def dump_yaml(data: Any) -> str:
    """Formats plain values as YAML that `parse_yaml` and other YAML readers read back equal.

    Block style, in the order of the keys, without anchors.
    """
    return yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=sys.maxsize)


def dump_flow(value: Any) -> str:
    """Formats a plain value as YAML on one line that `parse_yaml` and other readers read back."""
    text: str = yaml.dump(
        value,
        Dumper=Dumper,
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=sys.maxsize,
    )
    return text.removesuffix("...\n").strip()
