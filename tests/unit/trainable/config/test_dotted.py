"""Dotted keys of nested mappings: get, set, pop and flatten."""

import pytest

from trainable.config.dotted import flatten, get_dotted, pop_dotted, set_dotted

DATA = {"optimizer": {"name": "sgd", "betas": [0.9, 0.99]}, "epochs": 3, "loss": {}}


@pytest.mark.parametrize(
    ("key", "value"),
    [("epochs", 3), ("optimizer.name", "sgd"), ("optimizer", DATA["optimizer"]), ("loss", {})],
)
def test_a_dotted_key_has_the_value_at_the_end_of_its_path(key, value):
    assert get_dotted(DATA, key) == value


@pytest.mark.parametrize("key", ["model", "optimizer.momentum", "epochs.first", "loss.name.x"])
def test_a_key_that_is_absent_is_a_key_error(key):
    with pytest.raises(KeyError):
        get_dotted(DATA, key)


def test_setting_a_key_creates_the_mappings_on_the_way():
    data = {"optimizer": {"name": "sgd"}}
    set_dotted(data, "optimizer.momentum", 0.9)
    set_dotted(data, "model.block.width", 16)
    set_dotted(data, "epochs", 2)
    assert data == {
        "optimizer": {"name": "sgd", "momentum": 0.9},
        "model": {"block": {"width": 16}},
        "epochs": 2,
    }


def test_setting_a_key_below_a_value_is_refused():
    with pytest.raises(ValueError, match='"epochs" must be a mapping, found 3'):
        set_dotted({"epochs": 3}, "epochs.first", 1)


def test_popping_a_key_removes_it_alone():
    data = {"optimizer": {"name": "sgd", "momentum": 0.9}, "epochs": 2}
    assert pop_dotted(data, "optimizer.momentum") == 0.9
    assert pop_dotted(data, "epochs") == 2
    assert data == {"optimizer": {"name": "sgd"}}
    for key in ("optimizer.momentum", "optimizer.name.x", "epochs"):
        with pytest.raises(KeyError):
            pop_dotted(data, key)


def test_flattening_gives_the_innermost_values_and_keeps_their_order():
    flat = flatten(DATA)
    assert flat == {
        "optimizer.name": "sgd",
        "optimizer.betas": [0.9, 0.99],
        "epochs": 3,
        "loss": {},
    }
    assert list(flat) == ["optimizer.name", "optimizer.betas", "epochs", "loss"]
    assert all(get_dotted(DATA, key) == value for key, value in flat.items())


def test_flattening_can_keep_the_mappings_beside_their_contents():
    assert flatten({"loss": {"a": {"b": 1}}}, keep_mappings=True) == {
        "loss": {"a": {"b": 1}},
        "loss.a": {"b": 1},
        "loss.a.b": 1,
    }


def test_keys_that_are_dotted_already_stay_and_their_contents_are_added_to_them():
    assert flatten({"a.b": {"c": 1}, "d.e": 2}) == {"a.b.c": 1, "d.e": 2}


def test_a_key_given_by_itself_wins_over_one_inside_a_mapping():
    for data in ({"a": {"b": 1}, "a.b": 2}, {"a.b": 2, "a": {"b": 1}}):
        assert flatten(data) == {"a.b": 2}
        assert flatten(data, keep_mappings=True) == {"a": {"b": 1}, "a.b": 2}
