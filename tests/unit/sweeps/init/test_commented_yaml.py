"""Tests of `sweeps.init.commented_yaml`."""

from __future__ import annotations

from typing import Any

import pytest

from sweeps.init.commented_yaml import Setting, default_setting, render
from trainable.config import SGDOptimizer
from trainable.config.sections.training import TrainingConfig
from trainable.config.yaml_reader import parse_yaml

LONG = "a reason that is far longer than there is room for behind the value " * 2


def test_a_file_has_its_values_and_a_comment_on_every_key() -> None:
    settings = [
        Setting(("name",), "digits", "the name"),
        Setting(("space", "training.batch_size"), {"choice": [32, 64]}, "small ones"),
        Setting(("space", "model.name"), {"choice": ["resnet20"]}, "one"),
        Setting(("tune", "target"), None, "default. Ends the sweep", is_default=True),
    ]
    text = render(["sweep run search.yaml", ""], settings)
    assert text == (
        "# sweep run search.yaml\n"
        "#\n"
        "name: digits  # the name\n"
        "space:\n"
        "  training.batch_size: {choice: [32, 64]}  # small ones\n"
        "  model.name: {choice: [resnet20]}         # one\n"
        "tune:\n"
        "  # target: null  # default. Ends the sweep\n"
    )


@pytest.mark.parametrize(
    "value",
    [1e-5, 0.1, 3, True, None, "null", "1e-4", "a: b # c", "it's", "true", ["x, y", 1.5],
     {"on": []}, "日本/ü", "", "~", {"stages": 3}],
)  # fmt: skip
def test_every_value_is_read_as_it_was(value: Any) -> None:
    text = render((), [Setting(("section", "on"), value, "why: # [it] is {so}")])
    read = parse_yaml(text, "file").data["section"]["on"]
    assert read == value
    assert type(read) is type(value)


def test_a_comment_that_is_too_long_stands_above_its_key() -> None:
    text = render((), [Setting(("a", "key"), 1, LONG.strip()), Setting(("a", "b"), 2, "short")])
    assert text.splitlines() == ["a:", f"  # {LONG.strip()}", "  key: 1", "  b: 2    # short"]


def test_the_comment_on_a_default_is_cut() -> None:
    line = render((), [Setting(("a", "b"), 1, LONG, is_default=True)]).splitlines()[1]
    assert line.startswith("  # b: 1  # a reason")
    assert line.endswith(" ...")
    assert len(line) <= 118


def test_a_default_is_that_of_the_schema_with_its_first_sentence() -> None:
    section = TrainingConfig(epochs=3)
    setting = default_setting(("training", "clip_grad"), section)
    assert setting is not None
    assert (setting.value, setting.is_default) == (None, True)
    assert setting.why == "default. How gradients are clipped before each step"
    assert default_setting(("training", "epochs"), section) is None
    assert default_setting(("training", "no_such_key"), section) is None
    optimizer = SGDOptimizer(name="sgd", learning_rate=0.1, momentum=0.5)
    assert default_setting(("optimizer", "momentum"), optimizer) is None
