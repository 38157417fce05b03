"""Reading YAML: lines of keys, aliases, and every error."""

import contextlib
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainable.config.yaml_reader import MAX_BYTES, Document, dotted, parse_yaml, read_yaml
from trainable.errors import ConfigError


def parse(text: str) -> Document:
    return parse_yaml(textwrap.dedent(text), "f.yaml")


def problems(text: str) -> list[tuple[int | None, str, str]]:
    with pytest.raises(ConfigError) as raised:
        parse(text)
    assert raised.value.source == "f.yaml"
    return [(problem.line, problem.key, problem.rule) for problem in raised.value.problems]


# ---------------------------------------------------------------------------- lines


def test_every_key_and_list_item_has_its_line():
    document = parse("""\
        # a comment
        a:
          b: 1
          "c": [2,
                3]
        d:
          - e: 4
          - - 5
        """)
    assert document.data == {"a": {"b": 1, "c": [2, 3]}, "d": [{"e": 4}, [5]]}
    assert document.lines == {
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "c"): 4,
        ("a", "c", 0): 4,
        ("a", "c", 1): 5,
        ("d",): 6,
        ("d", 0): 7,
        ("d", 0, "e"): 7,
        ("d", 1): 8,
        ("d", 1, 0): 8,
    }


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    document = read_yaml(path)
    assert document.data == {"a": 1, "b": 2}
    assert document.lines[("b",)] == 2
    assert document.source == str(path)


def test_a_dotted_key_shows_list_positions_and_escapes_what_does_not_print():
    assert dotted(("scheduler", "milestones", 1)) == "scheduler.milestones[1]"
    assert dotted(("a", 0, "b\n")) == r"a[0].'b\n'"


# ---------------------------------------------------------------------------- aliases


def test_aliases_give_equal_values_that_are_not_shared():
    data = parse("a: &x {p: [1]}\nb: *x").data
    assert data == {"a": {"p": [1]}, "b": {"p": [1]}}
    data["b"]["p"].append(2)
    assert data["a"] == {"p": [1]}


def test_own_keys_win_over_merged_ones_and_earlier_merges_over_later_ones():
    document = parse("""\
        a: &a {p: 1, q: 2}
        b: &b {q: 3, r: 4}
        c:
          r: 5
          <<: [*a, *b]
          s: 6
        """)
    assert document.data["c"] == {"p": 1, "q": 2, "r": 5, "s": 6}
    assert document.lines[("c", "r")] == 4
    assert document.lines[("c", "p")] == 1


def test_a_quoted_merge_key_is_a_key():
    assert parse("'<<': {a: 1}").data == {"<<": {"a": 1}}


@pytest.mark.parametrize(
    "text", ["a: &a [*a]", "a: &a {b: *a}", "a: &a {<<: *a}", "a: &a {b: {<<: *a}}"]
)
def test_an_alias_inside_its_own_anchor_is_refused(text):
    [(line, key, rule)] = problems(text)
    assert line == 1
    assert key.startswith("a")
    assert rule == "must not contain itself: an alias inside its own anchor"


@pytest.mark.parametrize("link", ["[{}]", "{{<<: [{}]}}"])
def test_an_alias_bomb_is_refused_before_it_is_expanded(link):
    lines = ["a0: &a0 {x: 1}"]
    for level in range(1, 30):
        lines.append(f"a{level}: &a{level} {link.format(', '.join([f'*a{level - 1}'] * 10))}")
    [(_, _, rule)] = problems("\n".join(lines))
    assert rule == "must have at most 100000 values after its aliases are expanded"


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 100_000,
        "- " * 2000,
        "\n".join(["a0: &a0 [1]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 200)]),
    ],
)
def test_nesting_that_is_too_deep_is_refused(text):
    [(_, _, rule)] = problems(text)
    assert rule.endswith("must have at most 50 levels of nesting")


# ---------------------------------------------------------------------------- errors


def test_all_duplicate_keys_are_reported_at_once_with_both_lines():
    assert problems("""\
        a: 1
        b: {c: 1, c: 2}
        a: 2
        d: &d
          e: 1
          e: 2
        f: *d
        a: 3
        """) == [
        (2, "b.c", "duplicate key, first in line 2"),
        (3, "a", "duplicate key, first in line 1"),
        (6, "d.e", "duplicate key, first in line 5"),
        (8, "a", "duplicate key, first in line 1"),
    ]


def test_a_duplicate_key_in_a_merged_mapping_is_reported():
    assert problems("a:\n  <<: {b: 1, b: 2}") == [(2, "a.b", "duplicate key, first in line 2")]


@pytest.mark.parametrize(
    ("text", "key", "rule"),
    [
        ("a: !!python/object/apply:os.system [ls]", "a", "without the tag !!python/object/apply"),
        ("a: [!mine 1]", "a[0]", "without the tag !mine"),
        ("a: !!set {b}", "a", "without the tag !!set"),
        ("a: !!map 1", "a", "without the tag !!map"),
        ("a: !!int abc", "a", 'must be what its tag !!int says, found "abc"'),
        ("a: !!bool maybe", "a", 'must be what its tag !!bool says, found "maybe"'),
        ("a: " + "9" * 5000, "a", "must be what its tag !!int says"),
        ("a: {<<: 3}", "a", "<< must name a mapping or a list of mappings"),
        ("1: a", "", "a key must be text, found 1; put it in quotes"),
        ("a: {true: b}", "a", "a key must be text, found true; put it in quotes"),
        ("? [a]\n: b", "", "a key must be text, found a list"),
        ("? !!str {a: 1}\n: b", "", "a key must be text, found a mapping"),
        ("?\n: b", "", "a key must be text, found nothing"),
    ],
)
def test_a_value_that_is_not_plain_yaml_is_refused(text, key, rule):
    [(problem_line, problem_key, problem_rule)] = problems(text)
    assert problem_line == 1
    assert problem_key == key
    assert rule in problem_rule


@pytest.mark.parametrize(
    ("text", "line", "rule"),
    [
        ("a: 1\nb: [1, 2", 2, "expected ',' or ']'"),
        ("a: 1\nb: c: d", 2, "mapping values are not allowed here"),
        ("a:\n\t- b", 2, r"found character '\t' that cannot start any token"),
        ("a: 1\n\nb: *c", 3, "found undefined alias 'c'"),
        ("a: 1\n---\nb: 2", 2, "expected a single document in the stream"),
        ("a: 1\nb: \x07", 2, "character U+0007 is not allowed"),
        ("a: 'b", 1, "found unexpected end of stream"),
    ],
)
def test_a_syntax_error_is_reported_with_its_line(text, line, rule):
    [(problem_line, _, problem_rule)] = problems(text)
    assert problem_line == line
    assert problem_rule.startswith("is not YAML: ")
    assert rule in problem_rule


@pytest.mark.parametrize(
    ("text", "shown"),
    [("", "nothing"), ("# x\n", "nothing"), ("---", "nothing"), ("- 1", "a list"), ("x", '"x"')],
)
def test_a_top_level_that_is_not_a_mapping_is_refused(text, shown):
    [(_, key, rule)] = problems(text)
    assert (key, rule) == ("", f"must be a mapping of keys, found {shown}")


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (None, "no such file"),
        (b"", "must be a mapping of keys, found nothing"),
        (b"a: 1\nb: \xff", "line 2: must be UTF-8 text"),
        (b"a: " + b"x" * MAX_BYTES, "must be a YAML file of at most 1000000 bytes"),
    ],
)
def test_a_file_that_cannot_be_read_gives_one_clear_sentence(tmp_path, content, rule):
    path = tmp_path / "f.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        read_yaml(path)
    assert str(raised.value) == f"{path}: 1 problem\n  {rule}"


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is a directory, not a file"):
        read_yaml(str(tmp_path))


@given(st.text() | st.text("a1:-[]{}&*!<\"'#\n ,?|>", max_size=30))
def test_a_text_is_read_or_refused_with_a_config_error(text):
    with contextlib.suppress(ConfigError):
        assert isinstance(parse_yaml(text, "f").data, dict)
