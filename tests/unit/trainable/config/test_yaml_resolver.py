"""Types of scalars when read, and text that any reader reads back equal when written."""

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from trainable.config.yaml_reader import dump_yaml, parse_yaml
from trainable.config.yaml_resolver import read_scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1e5", 1e5),
        ("1E-3", 1e-3),
        ("-1e+3", -1000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("1_000.5", 1000.5),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
        ("0", 0),
        ("-7", -7),
        ("+5", 5),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o17", 15),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("OFF", "OFF"),
        ("010", "010"),
        ("00", "00"),
        ("1:30", "1:30"),
        ("2024-01-15", "2024-01-15"),
        ("=", "="),
        ("e5", "e5"),
        ("1e", "1e"),
        ("1.5.2", "1.5.2"),
        ("'1e-4'", "1e-4"),
        ('"true"', "true"),
        ("!!str 1", "1"),
        ("!!float 1", 1.0),
    ],
)
def test_a_scalar_has_the_type_that_a_reader_of_the_file_expects(text, value):
    result = parse_yaml(f"a: {text}", "f").data["a"]
    assert result == value
    assert type(result) is type(value)


def test_nan_is_read_as_a_number():
    assert math.isnan(parse_yaml("a: .nan", "f").data["a"])


@pytest.mark.parametrize(
    ("text", "value"), [("20", 20), ("1e-4", 1e-4), ("true", True), ("x", "x"), ("9" * 5000,) * 2]
)
def test_a_scalar_is_read_on_its_own(text, value):
    assert read_scalar(text) == value


_ANY_SCALAR = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.from_regex(r"[-+.~=<0-9_:eExobnyYtTrufals]{1,8}", fullmatch=True)
)
_VALUES = st.recursive(
    _ANY_SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def _same(left, right):
    """Returns whether values and all types in them are equal (1 == 1.0 == True in Python)."""
    return repr(left) == repr(right)


@given(st.dictionaries(st.text(), _VALUES, max_size=4))
def test_written_values_are_read_back_equal_by_this_reader_and_by_pyyaml(data):
    text = dump_yaml(data)
    assert _same(parse_yaml(text, "f").data, data)
    assert _same(yaml.safe_load(text), data)


def test_writing_keeps_order_and_letters_and_needs_no_anchors():
    shared = [1, 2.5]
    text = dump_yaml({"z": shared, "a": shared, "ü": "grün", "lr": 1e-05, "t": "1e-4"})
    assert text == "z:\n- 1\n- 2.5\na:\n- 1\n- 2.5\nü: grün\nlr: 1.0e-05\nt: '1e-4'\n"
