"""`--set KEY=VALUE`: text stays as typed, and all problems are listed together."""

from typing import Any

import pytest

from sweeps.spec.overrides import parse_assignments
from sweeps.spec.search_spec import SearchSpec
from trainable.config import TrainConfig
from trainable.errors import ConfigError


def refusal(*assignments: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_assignments(assignments, TrainConfig)
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
        ("dataset.val_split=null", "dataset.val_split", None),
        ("scheduler.T_max=", "scheduler.T_max", None),
        ("dataset.root=/data/a=b", "dataset.root", "/data/a=b"),
        (" training.epochs = 3 ", "training.epochs", 3),
        ("seed.value='07'", "seed.value", "07"),
        ("checkpoint.experiment_name=né", "checkpoint.experiment_name", "né"),
    ],
)  # fmt: skip
def test_a_value_is_read_as_in_a_file(text: str, key: str, value: Any) -> None:
    (assignment,) = parse_assignments([text], TrainConfig).items()
    assert assignment == (key, value)
    assert type(assignment[1]) is type(value)


AWKWARD = [
    "./runs #2", "@x", "a: b", "*x", "&x", "!x", "!!str x", "%x", "`x`", "- x", "? x", "| x",
    "<<", "a'b", '"a" b', "[x", "{x", "007", "42", "1e3", "true", "yes", "~", "=", "#", " x ",
    "2024-11-28", "/data/[raw]/{a}", "x,y", "1_000",
]  # fmt: skip


@pytest.mark.parametrize("text", ["", *AWKWARD])
@pytest.mark.parametrize("key", ["checkpoint.dir", "checkpoint.resume", "model.name"])
def test_the_value_of_a_key_that_takes_text_stays_as_typed(
    key: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert parse_assignments([f"{key}={text}"], TrainConfig) == {key: text}
    assert parse_assignments([f"config.{key}={text}"], SearchSpec) == {f"config.{key}": text}
    assert parse_assignments([f"name={text}", f"tune.warm_start={text}"], SearchSpec) == {
        "name": text,
        "tune.warm_start": text,
    }
    assert caplog.text == ""


def test_text_may_be_put_in_quotes_and_null_is_null() -> None:
    texts = ["name='a #b'", 'tune.warm_start=" x"', "tune.metric=null", "hooks.on_best='null'"]
    assert list(parse_assignments(texts, SearchSpec).values()) == ["a #b", " x", None, "null"]


@pytest.mark.parametrize("text", ["a: b", "*missing", "!!python/object/apply:os.system [ls]"])
def test_the_signs_of_yaml_mean_nothing_in_a_text(text: str) -> None:
    assert parse_assignments([f"training.epochs={text}"], SearchSpec) == {"training.epochs": text}


@pytest.mark.parametrize(
    ("typed", "value", "shown"),
    [("0x10", 16, "16"), ("1_000", 1000, "1000"), ("~", None, "null"), ("", None, "null"),
     ("0o17", 15, "15")],
)  # fmt: skip
def test_a_value_that_is_read_as_something_else_is_named(
    typed: str, value: Any, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert parse_assignments([f"tune.seed={typed}"], SearchSpec) == {"tune.seed": value}
    assert caplog.messages == [f"note: --set tune.seed={typed} is read as {shown}"]


@pytest.mark.parametrize("typed", ["3", "-1", "1e-3", "1E5", "0.5", ".5", "1.", "true", "null"])
def test_an_ordinary_value_needs_no_note(typed: str, caplog: pytest.LogCaptureFixture) -> None:
    parse_assignments([f"tune.target={typed}"], SearchSpec)
    assert caplog.text == ""


def test_several_keys_keep_their_order() -> None:
    values = parse_assignments(["training.epochs=2", "optimizer.name=adamw"], SearchSpec)
    assert list(values.items()) == [("training.epochs", 2), ("optimizer.name", "adamw")]
    assert parse_assignments([], SearchSpec) == {}


@pytest.mark.parametrize("text", ["", "training.epochs", "=3", " =3", "a..b=1", ".a=1", "a.=1"])
def test_a_text_that_is_not_an_assignment_is_refused(text: str) -> None:
    assert refusal(text) == (
        f"the command line: 1 problem\n  --set takes KEY=VALUE, found {text!r}"
    )


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("[1, 2", "is not YAML: "),
        ("[1, 2] # two", "must be one value, found '# two' after it"),
        ("'a' b", "is not YAML: "),
        ("[!!python/object/apply:os.system [ls]]", "without the tag !!python/object/apply"),
        ("1\nseed.value: 2", "must be one line, found '1\\nseed.value: 2'"),
        ("1\x1b[2J", "character U+001B is not allowed"),
        ("[*missing]", "is not YAML: found undefined alias"),
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
