"""A look at an own data set before a training: its shape, and what would fail, in words."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from trainable.config import OwnDataset, TrainConfig
from trainable.data.shapes import dataset_shape
from trainable.errors import ConfigError, Problem
from trainable.preflight.background import Options, Verdict, check_here
from trainable.preflight.checks import refuse_failing
from trainable.preflight.data import own
from trainable.preflight.data.own import OwnCheck, check_own_data
from trainable.preflight.shapes import DataShape

MakeConfig = Callable[..., TrainConfig]
MODULE = "tests.support.own_data"


def dataset(name: str, **keys: Any) -> OwnDataset:
    return OwnDataset.model_validate({"name": f"{MODULE}:{name}", **keys})


def check(name: str, **keys: Any) -> OwnCheck:
    return check_own_data(dataset(name, **keys))


@pytest.mark.parametrize(
    ("name", "keys", "shape"),
    [
        ("arrays", {}, DataShape(3, (3, 8, 8), 60)),
        ("drawing_texts", {"val_split": 0.2}, DataShape(3, (3, 8, 8), 48)),
        ("pictures", {"image_size": 12}, DataShape(3, (3, 12, 12), 60)),
        ("epochs", {}, DataShape(2, (1, 8, 8), 20)),
        ("only_train", {"test_split": 0.5}, DataShape(3, (3, 8, 8), 30)),
    ],
)
def test_its_shape_is_measured(name: str, keys: dict[str, Any], shape: DataShape) -> None:
    result = check(name, **keys)
    assert result.problems == []
    assert result.fit(dataset(name, **keys)) == (shape, [])
    assert dataset_shape(dataset(name, **keys)) == (shape.num_classes, shape.image[0])


@pytest.mark.parametrize(
    ("name", "keys", "key", "text"),
    [
        ("absent", {}, "dataset.name", f'"{MODULE}:absent": {MODULE} has no callable "absent"'),
        ("broken", {}, "dataset.name", "has failed, called with (): RuntimeError: no such site"),
        ("wrong", {"args": {"kinds": 1}}, "dataset.args.kinds", 'did you mean "kind"?'),
        ("wrong", {"args": {"kind": "nan"}}, "dataset.name", "item 0 of train must have finite"),
        ("wrong", {"args": {"kind": "test label"}}, "dataset.name", "item 2 of test must have a"),
        ("only_train", {}, "dataset.name", "has returned no test"),
        ("arrays", {"test_split": 0.1}, "dataset.test_split", "must be null, since"),
        ("arrays", {"folds": 30}, "dataset.folds", "at least 30 images of every class, found 20"),
        ("arrays", {"classes": ["a", "b"]}, "dataset.classes", "own names or null"),
    ],
)
def test_what_would_fail_is_reported_by_its_key(
    name: str, keys: dict[str, Any], key: str, text: str
) -> None:
    [problem] = check(name, **keys).problems
    assert problem.key == key
    assert text in problem.rule


def test_images_of_several_sizes_need_a_size() -> None:
    result = check("pictures")
    shape, [problem] = result.fit(dataset("pictures"))
    assert shape is None
    assert problem.key == "dataset.name"
    assert "images of different sizes: set dataset.image_size" in problem.rule


def test_keys_that_have_no_effect_on_floats_are_refused(tiny_config: MakeConfig) -> None:
    keys = {"mean": [0.5] * 3, "std": [1.0] * 3, "image_size": 32}
    config = tiny_config(
        dataset={"name": f"{MODULE}:floats", **keys}, augment={"rotation": 10, "mixup": {}}
    )
    result = check("floats")
    assert "floats, which are used as they are" in result.notices[0]
    assert [problem.key for problem in result.check_keys(config)] == [
        "dataset.mean",
        "dataset.image_size",
        "augment",
    ]


def test_a_generator_of_its_own_is_named() -> None:
    [notice] = check("own_generator").notices
    assert "items differ although torch, numpy and random are seeded" in notice


def test_many_items_are_not_fetched_if_their_classes_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own, "FEW_ITEMS", 10)
    monkeypatch.setattr(own, "MANY_ITEMS", 80)
    assert check("drawing", num_workers=0).train_images == 60
    result = check("drawing", classes=["a", "b", "c"], num_workers=0)
    assert (result.num_classes, result.train_images) == (3, None)
    assert "begins with fetching all 90 items for their labels" in result.notices[0]


def problems_of(config: TrainConfig, *, allowed: bool = True) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        refuse_failing(config, allow_custom_model=allowed)
    return list(caught.value.problems)


def test_the_model_is_checked_with_the_measured_shape(tiny_config: MakeConfig) -> None:
    config = tiny_config(dataset={"name": f"{MODULE}:pictures", "image_size": 12})
    [problem] = problems_of(config)
    assert problem.key == "model.name"
    assert "cannot be run on images [B, 3, 12, 12]" in problem.rule
    config = tiny_config(
        dataset={"name": f"{MODULE}:arrays", "mean": [0.5]}, model={"num_classes": 2}
    )
    assert [problem.key for problem in problems_of(config)] == [
        "model.num_classes",
        "dataset.mean",
    ]


def test_its_code_is_not_imported_without_the_flag(
    tiny_config: MakeConfig, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unwanted_data.py").write_text("def data(): raise SystemExit(1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = tiny_config(dataset={"name": "unwanted_data:data"}, model={"name": "resnet20"})
    [problem] = problems_of(config, allowed=False)
    assert problem.key == "dataset.name"
    assert "add --allow-custom-model" in problem.rule
    assert check_here([config], Options(allow_custom_model=False)) == Verdict([[]])
    assert "unwanted_data" not in sys.modules
