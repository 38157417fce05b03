"""`--set KEY=VALUE`: values are read as in a file, and all problems are listed together."""

from typing import Any

import pytest

from sweeps.spec.overrides import parse_assignments
from trainable.errors import ConfigError


def refusal(*assignments: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_assignments(assignments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("optimizer.learning_rate=1e-3", "optimizer.learning_rate", 1e-3),
        ("training.epochs=50", "training.epochs", 50),
        ("model.name=resnet20", "model.name", "resnet20"),
        ("amp.enabled=true", "amp.enabled", True),
        ("progress.enabled=no", "progress.enabled", "no"),
        ("scheduler.milestones=[3, 5]", "scheduler.milestones", [3, 5]),
        ("loss={name: ce, a: [1]}", "loss", {"name": "ce", "a": [1]}),
        ("checkpoint.experiment_name=", "checkpoint.experiment_name", None),
        ("checkpoint.experiment_name=''", "checkpoint.experiment_name", ""),
        ("dataset.root=/data/a=b", "dataset.root", "/data/a=b"),
        (" training.epochs = 3 ", "training.epochs", 3),
        ("seed.value='07'", "seed.value", "07"),
        ("checkpoint.experiment_name=né", "checkpoint.experiment_name", "né"),
    ],
)  # fmt: skip
def test_a_value_is_read_as_in_a_file(text: str, key: str, value: Any) -> None:
    (assignment,) = parse_assignments([text]).items()
    assert assignment == (key, value)
    assert type(assignment[1]) is type(value)


def test_several_keys_keep_their_order() -> None:
    values = parse_assignments(["training.epochs=2", "optimizer.name=adamw"])
    assert list(values.items()) == [("training.epochs", 2), ("optimizer.name", "adamw")]
    assert parse_assignments([]) == {}


@pytest.mark.parametrize("text", ["", "training.epochs", "=3", " =3", "a..b=1", ".a=1", "a.=1"])
def test_a_text_that_is_not_an_assignment_is_refused(text: str) -> None:
    assert refusal(text) == (
        f"the command line: 1 problem\n  --set takes KEY=VALUE, found {text!r}"
    )


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("[1, 2", "is not YAML: "),
        ("a: b", "is not YAML: mapping values are not allowed here"),
        ("!!python/object/apply:os.system [ls]", "without the tag !!python/object/apply"),
        ("1\nseed.value: 2", "must be one line, found '1\\nseed.value: 2'"),
        ("1\x1b[2J", "character U+001B is not allowed"),
        ("*missing", "is not YAML: found undefined alias"),
    ],
)
def test_a_value_that_is_not_yaml_is_refused_with_its_key(value: str, rule: str) -> None:
    text = refusal(f"training.epochs={value}")
    assert text.startswith("the command line: 1 problem\n  training.epochs: ")
    assert rule in text


def test_a_key_that_is_set_twice_is_refused() -> None:
    assert refusal("training.epochs=2", "training.epochs=3").endswith(
        "training.epochs: must be set once, found --set 'training.epochs=3' after another"
    )


def test_all_problems_are_listed_together() -> None:
    text = refusal("epochs", "a=[", "training.epochs=2", "=", "training.epochs=2")
    assert text.splitlines()[0] == "the command line: 4 problems"
