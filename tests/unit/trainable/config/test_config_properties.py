"""Properties of every training config: it round-trips, and every misspelt key is reported."""

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainable.config import MODEL_NAMES, parse_config
from trainable.config.yaml_reader import dotted, dump_yaml, parse_yaml
from trainable.errors import ConfigError

_COUNT = st.integers(1, 10**6)
_RATE = st.floats(1e-12, 1e6)
_SHARE = st.floats(0, 1, exclude_min=True, exclude_max=True)
_PATH = st.text().filter(lambda path: not path.startswith("~"))
"""A path; one that begins with `~` must name the home directory of a user."""
_LIST = st.lists(st.floats(0, 1e3), max_size=3)
_STEPS = {"warmup_epochs": st.integers(0, 9)}


def _section(name: str, **keys: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Builds a mapping with the name and any subset of the keys."""
    return st.fixed_dictionaries({"name": st.just(name)}, optional=keys)


def _optimizer(name: str, **keys: Any) -> st.SearchStrategy[dict[str, Any]]:
    required = {"name": st.just(name), "learning_rate": _RATE}
    return st.fixed_dictionaries(required, optional={"weight_decay": st.floats(0, 1)} | keys)


_ADAM = {"betas": st.lists(st.floats(0, 0.9999), min_size=2, max_size=2), "eps": _RATE}
_CONFIGS = st.fixed_dictionaries(
    {
        "dataset": st.one_of(
            _section("cifar100", val_split=st.none() | _SHARE, root=_PATH, seed=_COUNT),
            _section("image_folder", image_size=st.integers(8, 1024), augment=st.booleans()),
            _section("synthetic", shape=st.lists(_COUNT, min_size=3, max_size=3)),
        ),
        "model": st.fixed_dictionaries({"name": st.sampled_from(MODEL_NAMES)}),
        "training": st.fixed_dictionaries({"epochs": st.integers(10, 500), "batch_size": _COUNT}),
        "optimizer": st.one_of(
            _optimizer("sgd", momentum=st.floats(0.1, 0.9), nesterov=st.booleans()),
            _optimizer("adam", **_ADAM),
            _optimizer("adamw", **_ADAM),
        ),
    },
    optional={
        "loss": st.one_of(
            _section("cross_entropy", label_smoothing=st.floats(0, 1), weight=st.none() | _LIST),
            _section("nll", ignore_index=st.integers()),
            _section("sqr_hinge"),
            _section("smooth_l1", beta=_RATE),
            _section("bce_with_logits", pos_weight=_LIST),
            _section("kl_div", log_target=st.booleans()),
        ),
        "scheduler": st.one_of(
            _section("cosine", T_max=st.none() | _COUNT, eta_min=st.floats(0, 1), **_STEPS),
            _section("exponential", gamma=_RATE, **_STEPS),
            _section("plateau", factor=_SHARE, patience=st.integers(0, 99), min_lr=_RATE),
            _section("none", **_STEPS),
        ),
        "checkpoint": st.fixed_dictionaries({"dir": _PATH, "resume": st.none() | _PATH}),
    },
)


@given(_CONFIGS)
def test_config_to_dict_to_yaml_to_config_is_the_identity(data):
    before = copy.deepcopy(data)
    config = parse_config(data)
    plain = config.to_dict()
    assert parse_config(plain) == config
    assert parse_config(parse_yaml(dump_yaml(plain), "f")) == config
    assert data == before


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"


def _edit(draw: Any, key: str) -> str:
    index, letter = draw(st.integers(0, len(key) - 1)), draw(st.sampled_from(_LETTERS))
    edits = [
        key[:index] + key[index + 1 :],
        key[:index] + letter + key[index:],
        key[:index] + letter + key[index + 1 :],
    ]
    return draw(st.sampled_from([edit for edit in edits if edit != key]))


@given(_CONFIGS, st.data())
def test_any_one_character_edit_of_a_key_is_reported_with_that_key_and_its_line(data, source):
    text = dump_yaml(parse_config(data).to_dict())
    lines = parse_yaml(text, "f").lines
    *around, key = source.draw(st.sampled_from([p for p in lines if isinstance(p[-1], str)]))
    edited = _edit(source.draw, key)
    line = lines[(*around, key)]
    rows = text.splitlines()
    # `on` is written in quotes, since YAML 1.1 reads it as true.
    rows[line - 1] = re.sub(rf"^( *)('?){key}\2:", rf"\g<1>\g<2>{edited}\2:", rows[line - 1])
    with pytest.raises(ConfigError) as raised:
        parse_config(parse_yaml("\n".join(rows), "f"))
    reported = {(problem.key, problem.line) for problem in raised.value.problems}
    assert (dotted((*around, edited)), line) in reported
