"""A typo in a key of a shipped file is reported with its line and the right key.

Typos that give another key that is allowed somewhere are left out, and so are the names of
arguments, which only the called code knows.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sweeps.space.parsing import ARGUMENTS
from sweeps.spec.json_schema import sections_of
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.validation.space import list_config_keys
from trainable.config import TrainConfig, parse_config
from trainable.config.names import similarity
from trainable.config.yaml_reader import parse_yaml
from trainable.errors import ConfigError, Problem

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted(path for path in CONFIGS.rglob("*.yaml") if path.parent.name != "cluster")
LETTERS = "abcdefghijklmnopqrstuvwxyz_.0123456789ABCXYZ"


class Key(NamedTuple):
    """One key of a file and its place in the text."""

    path: Path
    text: str
    start: int
    line: int

    def edited(self, new: str) -> str:
        whole = self.path.read_text(encoding="utf-8")
        return whole[: self.start] + new + whole[self.start + len(self.text) :]


def keys(path: Path) -> Iterator[Key]:
    nodes = [yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if ".args." not in key.value:
                    yield Key(path, key.value, key.start_mark.index, key.start_mark.line + 1)
                if key.value != "args":
                    nodes.append(value)
        elif isinstance(node, yaml.SequenceNode):
            nodes.extend(node.value)


ALLOWED = {"when", "min", "max", "log", "values", *ARGUMENTS, *list_config_keys()} | {
    name
    for model in (SearchSpec, TrainConfig)
    for section in sections_of(model)
    for name in section.model_fields
}
"""Keys that are allowed somewhere."""

KEYS = [key for path in FILES for key in keys(path)]


@st.composite
def typos(draw: st.DrawFn) -> tuple[Key, str]:
    """Draws a key and a text that differs from it by one character more, less or changed."""
    key = draw(st.sampled_from(KEYS))
    index = draw(st.integers(0, len(key.text)))
    letter = draw(st.sampled_from(LETTERS))
    kind = draw(st.sampled_from(["insert", "delete", "replace"]))
    if kind == "insert":
        return key, key.text[:index] + letter + key.text[index:]
    replacement = letter if kind == "replace" else ""
    return key, key.text[:index] + replacement + key.text[index + 1 :]


def problems(path: Path, text: str) -> tuple[Problem, ...]:
    try:
        document = parse_yaml(text, path.name)
        if path.name == "search.yaml" or path.parent.name == "searches":
            parse_search(document, directory=path.parent)
        else:
            parse_config(document)
    except ConfigError as error:
        return error.problems
    return ()


def names_right_key(problem: Problem, key: Key, new: str) -> bool:
    """Returns whether a problem is about the edited key and suggests the right or a nearer one."""
    text = f"{problem.key} {problem.rule}"
    if problem.line != key.line or new not in text:
        return False
    suggestions: list[Any] = re.findall(r'did you mean "([^"]+)"', problem.rule)
    suggestions += re.findall(r'"([^"]+)"\?', problem.rule)
    # The typo may be what another tool calls the key.
    for name in re.findall(r"here it is ([\w.]+)", problem.rule):
        suggestions += [name, name.rpartition(".")[2], name.partition(".")[0]]
    right = {key.text, key.text.rpartition(".")[2], key.text.partition(".")[0]}
    return bool(right & set(suggestions)) or any(
        similarity(new, near) >= similarity(new, key.text) for near in suggestions
    )


def test_the_shipped_files_have_many_keys() -> None:
    assert len(FILES) == 15
    assert len(KEYS) > 250
    assert all(key.edited(key.text) == key.path.read_text(encoding="utf-8") for key in KEYS)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(typos())
def test_a_typo_in_a_key_is_reported_with_its_line_and_the_right_name(
    typo: tuple[Key, str],
) -> None:
    key, new = typo
    assume(new not in {"", key.text, *ALLOWED})
    assume(len(new) > 1)  # one letter is near to no name
    reported = problems(key.path, key.edited(new))
    assert any(names_right_key(problem, key, new) for problem in reported), [key, new, *reported]
