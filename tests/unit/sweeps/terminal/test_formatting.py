"""Formatting of numbers, sizes, durations, paths and tables."""

import math

import pytest

from sweeps.terminal.formatting import (
    MAX_MESSAGE,
    count_of,
    format_duration,
    format_metric,
    format_size,
    format_time,
    format_value,
    make_table,
    replace_non_finite,
    shorten_message,
)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1434, "1.4 KiB"), (12 * 2**20, "12.0 MiB"),
     (5000 * 2**30, "5000.0 GiB")],
)  # fmt: skip
def test_a_size_has_the_largest_unit_that_it_fills(count: int, text: str) -> None:
    assert format_size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (42.4, "42 s"), (99, "99 s"), (99.6, "1.7 min"), (330, "5.5 min"),
     (598, "10 min"), (5400, "90 min"), (7200, "2 h"), (12240, "3.4 h"), (181440, "2.1 d")],
)  # fmt: skip
def test_a_duration_has_at_most_two_digits_and_a_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.123456, "0.1235"), (3, "3"), ("sgd", "sgd"), (True, "True")],
)
def test_a_value_is_short(value: object, text: str) -> None:
    assert format_value(value) == text


def test_a_metric_has_four_decimals_and_a_missing_one_is_a_dash() -> None:
    assert format_metric({"val_acc": 0.975}, "val_acc") == "0.9750"
    assert format_metric({"val_acc": None}, "val_acc") == "-"
    assert format_metric({}, "val_acc") == format_metric(None, "val_acc") == "-"


def test_non_finite_numbers_are_replaced_at_every_depth() -> None:
    data = {"a": math.nan, "b": [1.5, math.inf, {"c": (-math.inf, 2)}], "d": "nan"}
    assert replace_non_finite(data) == {"a": None, "b": [1.5, None, {"c": [None, 2]}], "d": "nan"}


def test_a_number_is_followed_by_its_noun() -> None:
    assert [count_of(n, "epoch") for n in (0, 1, 2, 0.5, 1.0, 1_234_567)] == [
        *("0 epochs", "1 epoch", "2 epochs", "0.5 epochs", "1 epoch", "1234567 epochs")
    ]


def test_a_long_message_keeps_its_beginning_and_end_on_one_line() -> None:
    assert shorten_message("a\n  bad day") == "a bad day"
    text = shorten_message("RuntimeError: " + "x" * 900 + "\nthe end")
    assert len(text) == MAX_MESSAGE
    assert text.startswith("RuntimeError: xxx")
    assert " ... " in text
    assert text.endswith("xxx the end")


def test_a_time_is_printed_without_its_offset() -> None:
    assert format_time("2026-01-15T14:30:22+00:00") == "2026-01-15 14:30:22"


def test_numbers_are_aligned_to_the_right_and_texts_to_the_left() -> None:
    table = make_table("trial", "val_acc", title="Trials")
    assert [column.justify for column in table.columns] == ["left", "right"]
