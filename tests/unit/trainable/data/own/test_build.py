"""Calling an own data set: its arguments, and the forms of what it may return."""

import numpy as np
import pytest

from tests.support.own_data import WRONG
from trainable.config import OwnDataset
from trainable.data.own.build import OwnData, build_own
from trainable.errors import ConfigError, DataError, TuneSweepsError

MODULE = "tests.support.own_data"


def build(name: str, **keys: object) -> OwnData:
    return build_own(OwnDataset.model_validate({"name": f"{MODULE}:{name}", **keys}))


@pytest.mark.parametrize("name", ["arrays", "always_same"])
def test_a_mapping_of_splits_may_hold_data_sets_or_arrays(name: str) -> None:
    data = build(name)
    assert {split: len(items) for split, items in data.splits.items()} == {"train": 60, "test": 30}
    assert data.classes is None
    images = [data.splits[split].fetch(9)[0] for split in ("train", "test")]
    assert images[0].shape == (8, 8, 3)
    assert images[0].tolist() == images[1].tolist()


def test_a_tuple_is_train_and_test() -> None:
    assert [*build("epochs").splits] == ["train", "test"]


def test_arguments_and_the_seed_are_passed() -> None:
    data = build("only_train", seed=7, args={"site": "south"})
    assert data.classes == ("south7", "b", "c")
    assert build("only_train", args={"seed": 3}).classes == ("north3", "b", "c")


def test_unknown_arguments_are_refused_by_their_keys() -> None:
    with pytest.raises(ConfigError) as caught:
        build("only_train", args={"sites": "south", "scale": 2.0})
    [problem] = caught.value.problems
    assert problem.key == "dataset.args.sites"
    assert 'takes no such argument; did you mean "site"?' in problem.rule


def test_missing_arguments_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        build("wrong")
    assert caught.value.problems[0].key == "dataset.args"
    assert "missing a required argument: 'kind'" in caught.value.problems[0].rule


def test_numbers_drawn_while_it_is_built_depend_on_the_seed_of_the_data_alone() -> None:
    before = np.random.get_state()[1].tobytes()  # type: ignore[index]
    build("arrays")
    assert np.random.get_state()[1].tobytes() == before  # type: ignore[index]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nothing", 'has returned NoneType; return {"train": ..., "test": ...}'),
        ("stream", "map-style data sets, with len and [], found Stream as train; return list("),
        ("empty", "has no items in train"),
        ("one array", "has returned 2 arrays, which are no splits"),
        ("no train", "has returned no train"),
        ("misspelt", "has the key 'tests'; did you mean \"test\"?"),
        ("short labels", "has 60 images and 9 labels in train"),
        ("twice", "at least 2 different texts as classes"),
    ],
)
def test_other_results_are_refused_in_words(kind: str, message: str) -> None:
    assert kind in WRONG
    with pytest.raises(DataError) as caught:
        build("wrong", args={"kind": kind})
    assert str(caught.value).startswith(f'dataset.name "{MODULE}:wrong" ')
    assert message in str(caught.value)


def test_an_error_of_its_code_names_the_arguments_and_the_line() -> None:
    with pytest.raises(TuneSweepsError) as caught:
        build("broken")
    assert "has failed, called with (): RuntimeError: no such site" in str(caught.value)
    assert "own_data.py:" in str(caught.value)
