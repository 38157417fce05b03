"""The training configs of a sweep that are checked before it."""

from typing import Any

from sweeps.preflight.variants import MAX_VARIANTS, list_variants
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec

CONFIG = {
    "dataset": {"name": "digits", "val_split": 0.2},
    "model": {"name": "resnet20"},
    "training": {"epochs": 3},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}


def search(space: dict[str, Any], **more: Any) -> SearchSpec:
    return parse_search(
        {"config": CONFIG, "space": space, "tune": {"num_samples": 2, "seed": 1}, **more}
    )


def values(space: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return [variant.values for variant in list_variants(search(space, **more))]


def test_a_space_that_the_checks_do_not_depend_on_has_one_variant() -> None:
    assert values({"optimizer.learning_rate": {"loguniform": [0.01, 1.0]}}) == [{}]
    assert values({}) == [{}]


def test_every_choice_and_both_ends_of_a_range_are_combined() -> None:
    space = {
        "model.name": {"choice": ["resnet20", "vgg11"]},
        "training.batch_size": {"randint": [1, 65]},
        "optimizer.learning_rate": {"loguniform": [0.01, 1.0]},
    }
    assert values(space) == [
        {"model.name": model, "training.batch_size": size}
        for model in ("resnet20", "vgg11")
        for size in (1, 64)
    ]


def test_a_combination_that_a_constraint_rules_out_is_not_checked() -> None:
    space = {"training.batch_size": {"choice": [1, 64]}}
    kept = values(space, constraints=["training.batch_size > 1"])
    assert kept == [{"training.batch_size": 64}]


def test_a_key_with_a_condition_is_checked_where_it_exists() -> None:
    space = {
        "loss.name": {"choice": ["mse", "cross_entropy"]},
        "loss.label_smoothing": {"choice": [0.0, 0.1], "when": {"loss.name": "cross_entropy"}},
    }
    assert [variant.config.loss.name for variant in list_variants(search(space))] == [
        "mse",
        "cross_entropy",
        "cross_entropy",
    ]


def test_the_number_of_variants_is_limited() -> None:
    space = {
        f"dataset.{key}": {"choice": list(range(first, first + 20))}
        for key, first in (("seed", 0), ("num_workers", 1))
    }
    del space["dataset.num_workers"]
    space["training.batch_size"] = {"choice": list(range(2, 22))}
    assert len(values(space)) == MAX_VARIANTS
